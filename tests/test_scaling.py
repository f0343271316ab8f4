"""The learned step time: what it says from few runs, of wrong ones, and what it never says."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.errors import NotEnoughHistory
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.model.belief import PRIOR, believe
from clusterplan.estimator.step_time.model.exchange import Links
from clusterplan.estimator.step_time.model.formula import log_time
from clusterplan.estimator.step_time.model.points import points_of
from clusterplan.estimator.step_time.model.predict import Prediction, fit
from clusterplan.estimator.step_time.next_run import next_measurement


def run(
    gpus: int,
    batch: int,
    step_time_s: float,
    *,
    nodes: int = 1,
    gpu: str = "a100",
    accumulation: int = 1,
    precision: Precision = Precision.BF16,
    **more: Any,
) -> Measurement:
    return Measurement(
        "m", gpu, nodes, gpus, gpus // nodes, batch, accumulation, precision, None, step_time_s, **more
    )


def ask(
    gpus: int,
    batch: int,
    *,
    nodes: int = 1,
    gpu: str = "a100",
    accumulation: int = 1,
    precision: Precision = Precision.BF16,
) -> Shape:
    return Shape(gpu, nodes, gpus, gpus // nodes, batch, accumulation, precision=precision)


def truth(gpus: int, batch: int, nodes: int = 1) -> float:
    """Seconds: a fixed cost, work by the sample, a ring in the node and one between nodes."""
    ring = 0.03 * math.sqrt(gpus // nodes - 1) + (0.08 * (nodes / 2) ** 0.3 if nodes > 1 else 0)
    return 0.05 + 0.01 * batch + ring


SERIES = [
    run(g, b, truth(g, b, n), nodes=n)
    for g, b, n in ((1, 16, 1), (1, 32, 1), (2, 32, 1), (4, 16, 1), (4, 32, 2), (8, 32, 2))
]


def only(measurements: list[Measurement], query: Shape, **more: Any) -> Prediction:
    return fit(measurements, **more).predict([query])[0]


def test_no_run_is_not_enough() -> None:
    with pytest.raises(NotEnoughHistory, match="measure one"):
        fit([])


def test_one_run_predicts_itself_and_says_what_is_beyond() -> None:
    prediction = only([run(1, 32, 0.37)], ask(1, 32))
    assert prediction.step_time_s.p50 == pytest.approx(0.37, rel=0.02)
    assert not prediction.beyond
    assert only([run(1, 32, 0.37)], ask(4, 32)).beyond == ("gpus",)


@pytest.mark.parametrize(("gpus", "batch", "nodes"), [(2, 16, 1), (16, 32, 4), (16, 16, 2)])
def test_the_truth_is_inside_the_range(gpus: int, batch: int, nodes: int) -> None:
    step = only(SERIES, ask(gpus, batch, nodes=nodes)).step_time_s
    assert step.p10 <= truth(gpus, batch, nodes) <= step.p90


def test_more_runs_narrow_the_range() -> None:
    asked = ask(16, 32, nodes=4)
    widths = [math.log(s.p90 / s.p10) for n in (1, 3, 6) if (s := only(SERIES[:n], asked).step_time_s)]
    assert widths == sorted(widths, reverse=True)


def test_repeats_predict_themselves_to_their_spread() -> None:
    runs = [*SERIES, *(run(2, 64, t) for t in (0.80, 0.81, 0.79, 0.80, 0.80, 0.81, 0.79, 0.80))]
    step = only(runs, ask(2, 64)).step_time_s
    assert step.p50 == pytest.approx(0.8, rel=0.02)
    assert step.p90 / step.p10 < 1.12


def test_accumulation_repeats_the_computation_alone() -> None:
    runs = [*SERIES, run(8, 32, truth(8, 32, 2) + 3 * 0.37, nodes=2, accumulation=4)]
    step = only(runs, ask(8, 32, nodes=2, accumulation=8)).step_time_s
    assert step.p10 <= truth(8, 32, 2) + 7 * 0.37 <= step.p90


def test_the_parts_add_up() -> None:
    runs = [run(m.gpus, m.batch_size, m.step_time_s, nodes=m.nodes, data_wait_share=0.1) for m in SERIES]
    p = only(runs, ask(8, 16, nodes=2))
    assert p.compute_s + p.network_s + p.input_s == pytest.approx(p.step_time_s.p50)
    assert p.input_s > 0


def test_no_step_is_faster_than_the_floor_or_the_link() -> None:
    model = fit(SERIES, Links(1e9, 50e9, 0.5e9))
    assert model.predict([ask(1, 32)], [0.9])[0].step_time_s.p10 == 0.9
    assert model.predict([ask(16, 32, nodes=16)])[0].step_time_s.p10 >= 2 * 15 / 16 * 1e9 / 0.5e9


def test_a_slow_link_slows_what_was_never_measured_on_it() -> None:
    asked = ask(16, 32, nodes=2)
    slow, fast = (only([run(1, 32, 0.37)], asked, links=Links(2e9, 50e9, b)) for b in (0.5e9, 50e9))
    assert slow.step_time_s.p50 > 1.5 * fast.step_time_s.p50


def test_another_gpu_of_the_model_informs() -> None:
    others = [run(m.gpus, m.batch_size, m.step_time_s, nodes=m.nodes, gpu="v100") for m in SERIES]
    asked, own = ask(1, 64), run(1, 16, 0.1)
    alone, told = (only(runs, asked).step_time_s for runs in ([own], [own, *others]))
    assert math.log(told.p90 / told.p10) < math.log(alone.p90 / alone.p10)


def test_a_gpu_never_measured_is_told_from_another_with_a_wide_range() -> None:
    step = only(
        [run(m.gpus, m.batch_size, m.step_time_s, gpu="v100") for m in SERIES[:4]], ask(1, 32)
    ).step_time_s
    assert step.p10 < 0.37 < step.p90
    assert step.p90 / step.p10 > 2


def kinds(measurements: list[Measurement]) -> set[Any]:
    return {(s.measurement.gpus, s.kind) for s in only(measurements, ask(4, 32)).suspects}


def test_seconds_that_are_milliseconds_are_suspected_and_do_not_spoil_the_rest() -> None:
    wrong = run(2, 16, 1000 * truth(2, 16))
    assert kinds([*SERIES, wrong]) == {(2, "units")}
    assert only([*SERIES, wrong], ask(4, 32)).step_time_s.p50 == pytest.approx(truth(4, 32), rel=0.1)


def test_a_run_ten_times_too_slow_is_an_outlier_and_does_not_spoil_the_rest() -> None:
    wrong = run(2, 16, 10 * truth(2, 16))
    assert (2, "outlier") in kinds([*SERIES, wrong])
    assert only([*SERIES, wrong], ask(4, 32)).step_time_s.p50 == pytest.approx(truth(4, 32), rel=0.1)


def test_super_linear_scaling_is_flagged() -> None:
    """36 and 641 images/s on 1 and 8 GPUs, as published."""
    assert (8, "super-linear") in kinds([run(1, 32, 32 / 36), run(8, 32, 8 * 32 / 641)])


@pytest.mark.parametrize(
    "more", [{"cluster": "b"}, {"zero_stage": 1}, {"trainable_parameters": 10**7}], ids=str
)
def test_another_cluster_or_strategy_may_be_faster(more: dict[str, Any]) -> None:
    """8 V100 at 30 samples/s each in one machine and at 20 each behind 3 Gbit/s are both right."""
    slow = run(8, 24, 24 / 20, nodes=2, cluster="a", zero_stage=3)
    fast = replace(slow, gpus=16, gpus_per_node=8, step_time_s=24 / 30)
    assert (16, "super-linear") in kinds([slow, fast])
    assert kinds([slow, replace(fast, **more)]) == set()


@pytest.mark.parametrize("step_time_s", [0, -1, math.nan, math.inf, 5e-324, 1e-9, 1e300])
def test_a_time_that_is_none_is_left_out_by_name(step_time_s: float) -> None:
    assert (2, "invalid") in kinds([*SERIES, run(2, 32, step_time_s)])


@pytest.mark.parametrize("factor", [100, 1 / 100, 1000])
def test_of_three_runs_the_one_that_is_far_off_is_suspected(factor: float) -> None:
    runs = [run(1, 32, 0.3), run(2, 32, 0.31)]
    assert kinds([*runs, run(4, 8, 0.1 * factor)]) == {(4, "units")}


def test_batches_a_thousand_times_apart_are_no_reason_for_suspicion() -> None:
    assert kinds([run(1, b, 0.01 + b * 1e-6) for b in (16, 1024, 16_384)]) == set()


def test_a_type_of_gpu_that_is_measured_in_milliseconds_throughout_is_suspected() -> None:
    wrong = [run(g, 32, 250.0, gpu="h100-sxm") for g in (1, 2)]
    assert {k for _, k in kinds([*SERIES, *wrong])} == {"units"}


def test_ten_thousand_runs_take_bounded_time() -> None:
    runs = [run(g, b, truth(g, b)) for g in range(1, 9) for b in range(1, 1251)]
    start = time.process_time()
    step = only(runs, ask(8, 40)).step_time_s
    assert step.p50 == pytest.approx(truth(8, 40), rel=0.1)
    assert time.process_time() - start < 5


def test_the_first_run_to_make_is_on_one_gpu() -> None:
    assert next_measurement([], [ask(16, 32, nodes=2)], max_gpus=8).gpus == 1


def test_where_no_network_was_measured_the_next_run_uses_it() -> None:
    chosen = next_measurement(SERIES[:2], [ask(16, 32, nodes=2)], max_gpus=8, max_nodes=2)
    assert chosen.gpus > 1


def test_the_next_run_stays_within_what_is_allowed() -> None:
    chosen = next_measurement(SERIES[:2], [ask(16, 32, nodes=2)], max_gpus=3)
    assert chosen.nodes == 1
    assert 1 < chosen.gpus <= 3


def test_runs_on_another_gpu_still_leave_one_to_make_on_this() -> None:
    others = [run(m.gpus, m.batch_size, m.step_time_s, nodes=m.nodes, gpu="v100") for m in SERIES]
    chosen = next_measurement(others, [ask(4, 32)], max_gpus=4)
    assert chosen.gpu == "a100"


def test_a_run_of_the_very_shape_is_asked_for_where_that_is_allowed() -> None:
    assert next_measurement(SERIES[:3], [ask(8, 32)], max_gpus=8) == ask(8, 32)


@pytest.mark.parametrize("tensor", [2, 6, 8])
def test_the_next_run_splits_no_layer_over_nodes(tensor: int) -> None:
    target = replace(ask(48, 1, nodes=6), model_parallel=tensor, tensor_parallel=tensor, pipeline_parallel=1)
    measured = run(16, 1, 4.0, nodes=1, model_parallel=tensor, tensor_parallel=tensor)
    chosen = next_measurement([measured], [target], 48, 6, max_gpus_per_node=8)
    assert chosen.gpus_per_node % tensor == 0 or chosen == target
    assert chosen.gpus % tensor == 0
    assert chosen.gpus_per_node <= 8


def test_two_bad_nodes_say_less_of_sixteen() -> None:
    """bert on 4 T4 a node (Sia, SOSP 2023): 2 nodes take 2.5 s a step, 16 take 2.1 s."""
    runs = [run(1, 8, 0.703), run(4, 8, 0.741), run(2, 8, 1.4, nodes=2), run(8, 8, 2.53, nodes=2)]
    step = only(runs, ask(64, 8, nodes=16)).step_time_s
    assert step.p10 < 2.1 < step.p90


@pytest.mark.parametrize(
    "grown",
    [([1, 2, 4, 8, 64], 1, 16), (1, [1, 2, 3, 8], 16), (2, 4, [1, 16, 99])],
    ids=["nodes", "gpus", "batch"],
)
def test_no_growth_shortens_the_mean_step(grown: tuple[Any, ...]) -> None:
    shapes = [
        ask(int(nodes * each), int(batch), nodes=int(nodes)) for nodes, each, batch in np.broadcast(*grown)
    ]
    log_t = log_time(believe(PRIOR, Links()).mean, points_of(shapes), 3.0)
    assert (np.diff(log_t) >= -1e-9).all()
