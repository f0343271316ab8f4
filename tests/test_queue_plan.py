"""When a job would start: the queue planned GPU by GPU, on cases that were measured on a real Slurm 22.05.

slurmctld's own forecasts (sbatch --test-only, squeue --start) give whole nodes to pending jobs: job_scheduler.c
`_delayed_job_start_time` and backfill.c of SchedMD/slurm.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from conftest import SCALE

from clusterplan.estimator.queue.forecast import forecast_elements, forecast_waits
from clusterplan.estimator.queue.limit_use import EndedJob, learn_limit_use
from clusterplan.estimator.queue.record import KeptForecast, learn_correction
from clusterplan.estimator.queue.state import (
    Node,
    PendingJob,
    QueueState,
    Request,
    Reservation,
    Rules,
    RunningJob,
)
from clusterplan.estimator.queue.timeline import Board
from clusterplan.estimator.queue.wait import Basis, WaitForecast

NOW_S = 1_000_000.0
MINUTE_S, HOUR_S = 60.0, 3600.0


def node(name: str, gpus: int = 8, gpu_type: str = "a100", partitions: str = "gpu", **more: Any) -> Node:
    return Node(name, frozenset(partitions.split()), ((gpu_type, gpus),), cpus=64, memory_mib=0, **more)


def request(gpus: int, limit_s: float, nodes: int = 1, partitions: str = "gpu", **more: Any) -> Request:
    return Request(nodes, gpus, limit_s, tuple(partitions.split()), **more)


def running(job_id: str, on: str, gpus: int, left_s: float, **more: Any) -> RunningJob:
    """A job that its limit ends in `left_s`."""
    return RunningJob(
        job_id, "ann", request(gpus, left_s + HOUR_S, **more), tuple(on.split()), NOW_S - HOUR_S
    )


def pending(job_id: str, needs: Request, priority: float = 0.0, **more: Any) -> PendingJob:
    return PendingJob(job_id, "ann", needs, priority, NOW_S - 60, **more)


def queue(*jobs: RunningJob | PendingJob, nodes: int = 4, **more: Any) -> QueueState:
    return QueueState(
        NOW_S,
        more.pop("of", tuple(node(f"n{i}") for i in range(nodes))),
        tuple(job for job in jobs if isinstance(job, RunningJob)),
        tuple(job for job in jobs if isinstance(job, PendingJob)),
        **more,
    )


def wait_s(state: QueueState, needs: Request) -> float | None:
    return forecast_waits(state, [needs])[0].by_limits_s


FULL = [running(f"r{i}", f"n{i}", 8, 20 * MINUTE_S) for i in range(4)]


def test_whole_nodes_are_planned_as_slurm_plans_them() -> None:
    """4 nodes busy for 20 min, 12 pending jobs of a node for 2 h: 6 h 20 min, which is what backfill printed."""
    before = [pending(f"p{i}", request(8, 2 * HOUR_S)) for i in range(12)]
    assert wait_s(queue(*FULL, *before), request(8, 2 * HOUR_S)) == 6 * HOUR_S + 20 * MINUTE_S


def test_jobs_of_one_gpu_share_a_node() -> None:
    """32 pending jobs of a GPU on 32 busy GPUs: Slurm says +16 h, and they ran at +20 min, the next at +2 h 20 min."""
    before = [pending(f"p{i}", request(1, 2 * HOUR_S)) for i in range(32)]
    assert wait_s(queue(*FULL, *before), request(1, 2 * HOUR_S)) == 2 * HOUR_S + 20 * MINUTE_S


@pytest.mark.parametrize(("limit_s", "expected_s"), [(10 * MINUTE_S, 0.0), (60 * MINUTE_S, 5.5 * HOUR_S)])
def test_a_short_job_takes_the_hole_before_a_large_one(limit_s: float, expected_s: float) -> None:
    """--test-only says +5 h for both; the job of 10 min started at once."""
    state = queue(running("r", "n0", 8, 30 * MINUTE_S), pending("p", request(8, 5 * HOUR_S, nodes=4)))
    assert wait_s(state, request(8, limit_s)) == expected_s
    assert forecast_waits(state, [request(8, limit_s)])[0].hole_s == 30 * MINUTE_S


def test_time_min_starts_in_the_hole() -> None:
    state = queue(running("r", "n0", 8, 30 * MINUTE_S), pending("p", request(8, 5 * HOUR_S, nodes=4)))
    assert wait_s(state, request(8, HOUR_S, time_min_s=20 * MINUTE_S)) == 0.0


def test_priority_decides_and_not_the_order_of_the_list() -> None:
    state = queue(
        running("r", "n0", 8, HOUR_S),
        pending("low", request(8, HOUR_S), priority=1),
        pending("high", request(8, 10 * HOUR_S), priority=5),
        nodes=1,
    )
    assert forecast_waits(state, [request(8, HOUR_S)], job=state.pending[0])[0].by_limits_s == 11 * HOUR_S
    assert forecast_waits(state, [request(8, HOUR_S)], job=state.pending[1])[0].by_limits_s == HOUR_S
    assert forecast_waits(state, [request(8, HOUR_S)])[0].before == 2


@pytest.mark.parametrize(
    ("more", "expected_h"),
    [
        ({"is_blocked": True}, 1),
        ({"earliest_s": NOW_S + 3 * HOUR_S}, 1),  # a job of an hour is over before it begins
        ({"after": ("r",)}, 3),
        ({"count": 3}, 7),
        ({"count": 2, "at_once": 1}, 5),
    ],
)
def test_held_later_dependent_and_array_jobs(more: Mapping[str, Any], expected_h: float) -> None:
    state = queue(running("r", "n0", 8, HOUR_S), pending("p", request(8, 2 * HOUR_S), **more), nodes=1)
    assert wait_s(state, request(8, HOUR_S)) == expected_h * HOUR_S


def test_no_job_runs_into_a_maintenance() -> None:
    maintenance = Reservation("m", NOW_S + 2 * HOUR_S, NOW_S + 4 * HOUR_S, frozenset({"n0"}))
    state = queue(nodes=1, reservations=(maintenance,))
    assert [wait_s(state, request(8, hours * HOUR_S)) for hours in (2, 3)] == [0, 4 * HOUR_S]
    assert forecast_waits(state, [request(8, HOUR_S)])[0].hole_s == 2 * HOUR_S
    inside = replace(request(8, HOUR_S), reservation="m")
    assert wait_s(state, inside) == 2 * HOUR_S


def test_nodes_that_are_down_and_other_types_do_not_count() -> None:
    nodes = (node("n0", is_up=False), node("n1", gpu_type="v100"), node("n2"))
    state = queue(running("r", "n2", 8, HOUR_S), of=nodes)
    assert wait_s(state, request(8, HOUR_S, gpu_type="a100")) == HOUR_S
    assert wait_s(state, request(8, HOUR_S)) == 0
    assert wait_s(state, request(8, HOUR_S, nodes=3)) is None


def test_cpus_keep_a_job_from_free_gpus() -> None:
    state = queue(running("r", "n0", 1, HOUR_S, cpus=60), nodes=1)
    assert wait_s(state, request(1, HOUR_S, cpus=8)) == HOUR_S


def test_partitions_that_share_nodes_compete_and_others_do_not() -> None:
    nodes = (node("n0", partitions="gpu debug"), node("n1", partitions="other"))
    jobs = [
        pending("a", request(8, HOUR_S, partitions="debug")),
        pending("b", request(8, HOUR_S, partitions="other")),
    ]
    state = queue(*jobs, of=nodes)
    (forecast,) = forecast_waits(state, [request(8, HOUR_S)])
    assert (forecast.by_limits_s, forecast.before) == (HOUR_S, 1)


def test_a_job_of_a_higher_tier_comes_first_and_preempts() -> None:
    rules = {"low": Rules(tier=1, is_preempted=True), "gpu": Rules(tier=2)}
    state = queue(
        running("r", "n0", 8, 5 * HOUR_S, partitions="low"),
        pending("p", request(8, HOUR_S, partitions="low"), priority=99),
        of=(node("n0", partitions="low gpu", used_gpus=8),),
        partitions=rules,
    )
    assert wait_s(state, request(8, HOUR_S)) == 0
    assert wait_s(state, request(8, HOUR_S, partitions="low")) == 6 * HOUR_S


def test_gpus_of_jobs_that_are_hidden_are_taken_until_the_limit_of_the_partition() -> None:
    rules = {"gpu": Rules(limit_s=24 * HOUR_S)}
    state = queue(of=(node("n0", used_gpus=6),), partitions=rules, hides_jobs=True)
    assert state.hidden_gpus() == 6
    assert [wait_s(state, request(gpus, HOUR_S)) for gpus in (2, 3)] == [0, 24 * HOUR_S]


def test_the_job_itself_does_not_stand_in_its_own_way() -> None:
    own = running("7_1", "n0", 8, HOUR_S)
    state = queue(own, of=(node("n0", used_gpus=8),)).without(frozenset({"7"}))
    assert wait_s(state, request(8, HOUR_S)) == 0


@pytest.mark.parametrize(("at_once", "waits_h"), [(None, [1, 1, 2]), (1, [1, 2, 3])])
def test_each_element_of_a_sweep_has_its_own_wait(at_once: int | None, waits_h: list[float]) -> None:
    state = queue(running("r", "n0", 8, HOUR_S), nodes=1)
    job = pending("p", request(4, HOUR_S), count=3, at_once=at_once)
    assert [each.by_limits_s / HOUR_S for each in forecast_elements(state, job)] == waits_h
    use = learn_limit_use([EndedJob("ann", 100, 100)] * 30)
    drawn = forecast_elements(state, job, use)
    assert [each.wait_s.p50 / HOUR_S for each in drawn] == waits_h


def test_an_element_that_never_fits_has_no_wait() -> None:
    job = pending("p", request(9, HOUR_S), count=2)
    assert [each.by_limits_s for each in forecast_elements(queue(nodes=1), job)] == [None, None]


def test_a_line_that_is_too_long_is_said() -> None:
    on_first = request(8, HOUR_S, only_nodes=frozenset({"n0"}))
    state = queue(pending("p", on_first, count=110), nodes=2_500)  # of which 100 jobs are planned
    (forecast,) = forecast_waits(state, [on_first])
    assert (forecast.before, forecast.unplanned, forecast.by_limits_s) == (110, 10, 100 * HOUR_S)


def test_what_jobs_use_of_their_limits_makes_a_range() -> None:
    use = learn_limit_use([EndedJob("ann", share * 10, 100) for share in range(1, 11)] * 4)
    (forecast,) = forecast_waits(queue(*FULL), [request(8, HOUR_S)], use)
    assert forecast.basis is Basis.USAGE
    assert 0 <= forecast.wait_s.p10 <= forecast.wait_s.p50 <= forecast.wait_s.p90 <= 20 * MINUTE_S
    assert forecast.by_limits_s == 20 * MINUTE_S


def test_too_few_ended_jobs_teach_nothing() -> None:
    assert learn_limit_use([EndedJob("ann", 1, 2)] * 29) is None
    assert forecast_waits(queue(), [request(1, HOUR_S)], None)[0].basis is Basis.LIMITS


def test_twenty_runs_correct_a_forecast_and_one_outlier_does_not() -> None:
    kept = [KeptForecast(HOUR_S, 2 * HOUR_S)] * 19
    assert learn_correction(kept) is None
    correction = learn_correction([*kept, KeptForecast(60, 1e6)])
    assert 1.9 < correction.ratio.p50 < 2
    assert correction.apply(HOUR_S).p50 == pytest.approx(2 * HOUR_S, rel=0.05)


def test_a_job_never_starts_without_a_limit_before_it() -> None:
    forever = RunningJob("r", "ann", request(8, math.inf), ("n0",), NOW_S)
    state = queue(forever, nodes=1)
    assert forecast_waits(state, [request(8, HOUR_S)]) == [WaitForecast(None, None, 0.0, 0, Basis.LIMITS)]


@pytest.mark.parametrize("seed", range(20 * SCALE))
def test_the_first_start_is_that_of_a_search_minute_by_minute(seed: int) -> None:
    """The slow walk tries every minute; `Board.find` jumps from end to end."""
    rng = random.Random(seed)
    board = Board([node(f"n{i}", gpus=4) for i in range(3)], (), 0.0)
    for line in board.nodes.values():
        for _ in range(4):
            begin = rng.randrange(60)
            line.take(begin, begin + rng.randrange(1, 30), [(2, 1)])
    needs = request(rng.randint(1, 4), rng.randrange(1, 40), nodes=rng.randint(1, 3))

    def fits(start: int) -> bool:
        free = [
            min(line.free_gpus(t) for t in range(start, start + int(needs.limit_s))) >= needs.gpus
            for line in board.nodes.values()
        ]
        return sum(free) >= needs.nodes

    expected = next(start for start in range(200) if fits(start))
    assert board.find(needs, 0.0, needs.limit_s)[0] == expected
