"""Steps that wait for their input: what the runs' wait and busy shares say of other shapes."""

import math
from dataclasses import replace
from typing import Any

import pytest

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.input_wait import Scope, describe_wait, infer_loaders, waiting_shares
from clusterplan.estimator.step_time.model.predict import fit

READ_PER_NODE = 250.0  # samples/s
BATCH = 32


def work_s(gpus: float) -> float:
    return 0.05 + 0.01 * BATCH + 0.03 * math.sqrt(gpus - 1)


def ahead_by_node_s(gpus: Any) -> Any:
    return max(work_s(gpus), BATCH * gpus / READ_PER_NODE)


def run(gpus: Any, step_time_s: Any, **more: Any) -> Measurement:
    return Measurement("m", "a100", 1, gpus, gpus, BATCH, 1, Precision.BF16, None, step_time_s, **more)


def ask(gpus: Any, batch: Any = BATCH) -> Shape:
    return Shape("a100", 1, gpus, gpus, batch, precision=Precision.BF16)


def starved(**share_of: Any) -> list[Any]:
    """1, 2 and 4 GPUs of which the last wait; `share_of` makes a field of a run's wait share."""
    runs = []
    for gpus in (1, 2, 4):
        step = ahead_by_node_s(gpus)
        told = {name: share(1 - work_s(gpus) / step) for name, share in share_of.items()}
        runs.append(run(gpus, step, **told))
    return runs


def step_of(runs: Any, query: Any) -> Any:
    return fit(runs).predict([query])[0].step_time_s


@pytest.mark.parametrize(
    "share_of",
    [{"data_wait_share": lambda w: w}, {"busy_share": lambda w: 0.9 * (1 - w)}],
    ids=lambda s: next(iter(s)),
)
def test_more_gpus_of_a_node_wait_longer_for_what_it_reads(share_of: dict[str, Any]) -> None:
    truth = ahead_by_node_s(8)
    step = step_of(starved(**share_of), ask(8))
    assert step.p10 <= truth <= step.p90
    assert step.p50 == pytest.approx(truth, rel=0.1)
    assert step_of(starved(), ask(8)).p50 < 0.8 * truth


def test_the_rule_of_the_work_is_learned_without_the_wait() -> None:
    step = step_of(starved(data_wait_share=lambda w: w), ask(2, batch=16))
    assert step.p10 <= 0.05 + 0.01 * 16 + 0.03 <= step.p90


def test_runs_that_do_not_wait_are_predicted_as_if_nothing_were_known() -> None:
    runs = [run(gpus, work_s(gpus)) for gpus in (1, 2, 4)]
    fed = [replace(m, data_wait_share=0.01, busy_share=0.95) for m in runs]
    assert infer_loaders(fed) == ()
    assert step_of(fed, ask(8)) == step_of(runs, ask(8))


def test_one_busy_share_alone_says_nothing_of_input() -> None:
    assert waiting_shares([run(1, 0.4, busy_share=0.3), run(2, 0.4)]) == [None, None]


def test_a_loader_of_each_gpu_is_told_by_more_gpus_that_wait_alike() -> None:
    runs = [run(gpus, 0.5, data_wait_share=0.5) for gpus in (1, 4)]
    assert {loader.scope for loader in infer_loaders(runs)} == {Scope.GPU}


def test_a_loader_shared_by_a_node_is_told_by_more_gpus_that_wait_more() -> None:
    scopes = [loader.scope for loader in infer_loaders(starved(data_wait_share=lambda w: w))]
    assert scopes[0] is Scope.NODE
    assert Scope.GPU not in scopes


def test_of_one_run_a_short_wait_is_of_a_loader_in_turn_and_a_long_one_of_one_ahead() -> None:
    likeliest = [infer_loaders([run(2, 0.5, data_wait_share=share)])[0] for share in (0.1, 0.6)]
    assert [loader.ahead for loader in likeliest] == [False, True]


def test_what_one_run_cannot_tell_makes_the_range_wider() -> None:
    waiting, fed = (step_of([run(2, 0.5, data_wait_share=w)], ask(8)) for w in (0.4, 0.0))
    assert waiting.p90 / waiting.p10 > fed.p90 / fed.p10


def test_a_wider_job_is_told_that_it_would_only_wait_longer() -> None:
    """Of two nodes that wait as one of the same GPUs does, all read from one storage."""
    shared = [
        run(4, 0.5, data_wait_share=0.5),
        replace(run(8, 1.0, data_wait_share=0.75), nodes=2, gpus_per_node=4),
    ]
    (scope,) = {loader.scope for loader in infer_loaders(shared)}
    assert scope is Scope.JOB
    assert describe_wait(1.0, 0.5, 64, infer_loaders(shared)).endswith("more GPUs would only wait longer")


def test_of_one_node_nobody_knows_whether_more_nodes_read_faster() -> None:
    runs = starved(data_wait_share=lambda w: w)
    two_nodes = replace(ask(8), nodes=2, gpus_per_node=4)
    step = step_of(runs, two_nodes)
    assert step.p50 == pytest.approx(BATCH * 4 / READ_PER_NODE, rel=0.1)
    assert step.p90 >= BATCH * 8 / READ_PER_NODE
    assert describe_wait(1.0, 0.5, 64, infer_loaders(runs)).endswith("more nodes may too")
