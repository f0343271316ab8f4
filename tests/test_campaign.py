"""Plans of many jobs on few GPUs, on values alone.

The cases: fragments of nodes (4 + 4 free GPUs are no node of 8), windows and other people's jobs, chains, deadlines, jobs
that run.  Bounds are those of moldable jobs: area over GPUs, and the longest job at its fastest (Turek, Wolf and Yu,
"Approximate algorithms for scheduling parallelizable tasks", SPAA 1992).
"""

import math
import random
from dataclasses import replace

import pytest

from clusterplan.errors import InputError
from clusterplan.estimator.campaign.bounds import bound_of, end_bound_s
from clusterplan.estimator.campaign.boxes import find_boxes
from clusterplan.estimator.campaign.campaign import (
    Busy,
    Campaign,
    CampaignJob,
    Mode,
    Objective,
    PlannedJob,
    Pool,
    Started,
)
from clusterplan.estimator.campaign.changes import find_changes
from clusterplan.estimator.campaign.check import find_faults
from clusterplan.estimator.campaign.ends import end_ranges
from clusterplan.estimator.campaign.placing.node_lines import NodeLine, find_place
from clusterplan.estimator.campaign.plan import Plan, make_plan
from clusterplan.estimator.campaign.queue_busy import busy_by_queue
from clusterplan.estimator.campaign.replan import Reason, replan
from clusterplan.estimator.queue.state import (
    Node,
    PendingJob,
    QueueState,
    Request,
    Reservation,
    Rules,
    RunningJob,
)

NOW_S = 1_000_000.0
NODES = tuple(Node(f"n{i}", frozenset({"gpu"}), (("a100", 8),), cpus=64, memory_mib=0) for i in range(4))
HOUR_S = 3600.0


def mode(gpus: int, hours: float, pool: str = "gpu", late: float = 1.2) -> Mode:
    """A shape on nodes of 8 GPUs, whose P90 is `late` times its P50."""
    return Mode(pool, max(gpus // 8, 1), gpus, hours * HOUR_S, hours * HOUR_S * late)


def amdahl(
    name: str, hours_on_8: float, efficiency: float = 0.85, most: int = 32, **more: object
) -> CampaignJob:
    """A job whose efficiency at 8 GPUs is given, in shapes of 1 to `most` GPUs."""
    serial = (1 / efficiency - 1) / 7
    hours = hours_on_8 / ((1 - serial) / 8 + serial)
    counts = [gpus for gpus in (1, 2, 4, 8, 16, 32, 64) if gpus <= most]
    modes = tuple(mode(gpus, hours * ((1 - serial) / gpus + serial)) for gpus in counts)
    return CampaignJob(name, modes, **more)  # type: ignore[arg-type]


def campaign(*jobs: CampaignJob, gpus: int = 32, **more: object) -> Campaign:
    return Campaign(NOW_S, jobs, (Pool.of("gpu", gpus, 8),), **more)  # type: ignore[arg-type]


def many(count: int, seed: int = 0, gpus: int = 32, **more: object) -> Campaign:
    """Jobs of log-normal length, as published campaigns have them."""
    rng = random.Random(seed)
    jobs = [
        amdahl(f"j{i}", 4 * math.exp(rng.gauss(0, 1)), rng.uniform(0.7, 0.95), gpus) for i in range(count)
    ]
    return campaign(*jobs, gpus=gpus, **more)


def of(plan: Plan, name: str) -> PlannedJob:
    return next(each for each in plan.planned if each.job == name)


def test_four_and_four_free_gpus_on_two_nodes_are_no_node_of_eight() -> None:
    lines = [NodeLine(i, 8, 0.0) for i in range(2)]
    for line in lines:
        line.take(0.0, 100.0, 4)
    assert find_place(lines, 1, 8, 0.0, 10.0)[0] == 100.0
    assert find_place(lines, 2, 4, 0.0, 10.0)[0] == 0.0


def test_two_nodes_are_free_together_and_not_one_after_the_other() -> None:
    lines = [NodeLine(i, 8, 0.0) for i in range(2)]
    lines[0].take(50.0, 100.0, 8)
    lines[1].take(0.0, 60.0, 8)
    assert find_place(lines, 2, 8, 0.0, 20.0)[0] == 100.0


def test_gpus_that_are_given_back_are_free_as_before() -> None:
    line = NodeLine(0, 8, 0.0)
    line.take(10.0, 20.0, 8)
    line.take(10.0, 20.0, -8)
    assert (line.times, line.free) == ([0.0], [8])


@pytest.mark.parametrize("count", [1, 10, 30])
@pytest.mark.parametrize("seed", range(2))
def test_a_plan_is_near_what_no_plan_can_beat(count: int, seed: int) -> None:
    plan = make_plan(many(count, seed))
    assert not find_faults(plan.campaign, plan.planned)
    assert 0 <= plan.gap <= 0.15


def test_the_same_campaign_gets_the_same_plan() -> None:
    assert make_plan(many(8)).planned == make_plan(many(8)).planned


def test_few_gpus_are_shared_out_where_wide_shapes_are_wasteful() -> None:
    plan = make_plan(campaign(*(amdahl(f"j{i}", 4, 0.6) for i in range(8)), gpus=8))
    assert {each.mode.gpus for each in plan.planned} == {1}
    assert plan.gap == pytest.approx(0)


def test_a_chain_is_planned_in_order() -> None:
    jobs = (amdahl("pretrain", 2), amdahl("tune", 2, after=("pretrain",)), amdahl("moe", 2, after=("tune",)))
    plan = make_plan(campaign(*jobs))
    ends = [of(plan, name).end_s for name in ("pretrain", "tune", "moe")]
    assert of(plan, "tune").start_s >= ends[0]
    assert of(plan, "moe").start_s >= ends[1]
    assert {each.mode.gpus for each in plan.planned} == {32}  # nobody else needs the GPUs


def test_gpus_of_others_and_closed_windows_are_left_alone() -> None:
    busy = (
        Busy("gpu", NOW_S, NOW_S + 2 * HOUR_S, (8, 8, 0, 0)),
        Busy("gpu", NOW_S + 6 * HOUR_S, NOW_S + 18 * HOUR_S),
    )
    plan = make_plan(campaign(*many(8).jobs, busy=busy))
    assert not find_faults(plan.campaign, plan.planned)
    for each in plan.planned:
        assert each.end_s <= NOW_S + 6 * HOUR_S or each.start_s >= NOW_S + 18 * HOUR_S
        assert each.start_s >= NOW_S + 2 * HOUR_S or not {0, 1} & set(each.nodes)


def test_a_job_starts_no_sooner_than_it_may() -> None:
    plan = make_plan(campaign(amdahl("a", 1, earliest_s=NOW_S + HOUR_S)))
    assert of(plan, "a").start_s == NOW_S + HOUR_S


def test_a_job_that_runs_keeps_its_shape_and_its_gpus() -> None:
    started = Started(mode(8, 4), NOW_S - HOUR_S)
    plan = make_plan(campaign(amdahl("a", 4, started=started), amdahl("b", 4), gpus=8))
    assert of(plan, "a").is_started
    assert of(plan, "b").start_s == NOW_S + 3 * HOUR_S


def test_a_cap_that_shrinks_below_a_running_job_lets_others_wait() -> None:
    started = Started(mode(16, 4), NOW_S - HOUR_S)
    plan = make_plan(campaign(amdahl("a", 4, started=started), amdahl("b", 4, most=8), gpus=8))
    assert of(plan, "b").start_s == NOW_S + 3 * HOUR_S


def test_deadlines_come_before_the_end_of_all() -> None:
    urgent = replace(amdahl("urgent", 4), deadline_s=NOW_S + 5 * HOUR_S)
    plan = make_plan(campaign(amdahl("long", 20), urgent, gpus=8))
    assert of(plan, "urgent").late_end_s <= NOW_S + 5 * HOUR_S
    assert not plan.late


def test_a_deadline_is_held_against_p90() -> None:
    job = CampaignJob("a", (mode(8, 4, late=1.5),), deadline_s=NOW_S + 5 * HOUR_S)
    plan = make_plan(campaign(job))
    assert plan.score.missed == 1
    assert [each.job for each in plan.late] == ["a"]


def test_the_heavier_of_two_deadlines_is_met() -> None:
    jobs = [
        CampaignJob(name, (mode(8, 4),), weight, deadline_s=NOW_S + 5 * HOUR_S)
        for name, weight in (("light", 1.0), ("heavy", 3.0))
    ]
    assert make_plan(campaign(*jobs, gpus=8)).score.missed == 1.0


def test_least_gpu_hours_takes_narrow_shapes_and_keeps_deadlines() -> None:
    jobs = [replace(job, deadline_s=NOW_S + 30 * HOUR_S) for job in many(8).jobs]
    end, hours = (
        make_plan(campaign(*jobs, objective=objective)) for objective in (Objective.END, Objective.GPU_HOURS)
    )
    assert hours.gpu_hours < end.gpu_hours
    assert hours.score.missed <= end.score.missed
    assert hours.score.main >= bound_of(hours.campaign)


def test_weighted_completion_lets_short_and_heavy_jobs_go_first() -> None:
    jobs = (
        CampaignJob("long", (mode(8, 10),)),
        CampaignJob("short", (mode(8, 1),)),
        CampaignJob("heavy", (mode(8, 10),), weight=20),
    )
    plan = make_plan(campaign(*jobs, gpus=8, objective=Objective.COMPLETION))
    assert [each.job for each in plan.planned] == ["heavy", "short", "long"]
    assert plan.score.main >= plan.bound


def test_two_pools_are_both_used() -> None:
    jobs = tuple(CampaignJob(f"j{i}", (mode(8, 4, "a100"), mode(8, 5, "h100"))) for i in range(8))
    pools = (Pool.of("a100", 8, 8), Pool.of("h100", 8, 8))
    plan = make_plan(Campaign(NOW_S, jobs, pools))
    assert {each.mode.pool for each in plan.planned} == {"a100", "h100"}
    assert not find_faults(plan.campaign, plan.planned)
    assert plan.end_s == NOW_S + 20 * HOUR_S  # 4 and 4, or 5 and 3


def test_the_bound_counts_chains_others_and_the_fastest_shape() -> None:
    jobs = (CampaignJob("a", (mode(8, 4),)), CampaignJob("b", (mode(8, 3),), after=("a",)))
    assert end_bound_s(campaign(*jobs)) == pytest.approx(7 * HOUR_S)
    busy = (Busy("gpu", NOW_S, NOW_S + HOUR_S),)
    assert end_bound_s(campaign(CampaignJob("a", (mode(32, 4),)), busy=busy)) == pytest.approx(5 * HOUR_S)


@pytest.mark.parametrize(
    ("jobs", "fault"),
    [
        (
            (amdahl("a", 1, after=("b",)), amdahl("b", 1, after=("a",))),
            "'a', 'b' wait for one another in a circle",
        ),
        ((amdahl("a", 1, after=("c",)),), "'c' is not a job of this campaign: give one of a"),
        (
            (CampaignJob("a", (mode(64, 1),)),),
            "its smallest shape has 64 GPUs, and gpu has 32 GPUs on 4 nodes",
        ),
    ],
)
def test_a_campaign_that_cannot_be_planned_is_refused(jobs: tuple[CampaignJob, ...], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        make_plan(campaign(*jobs))


def test_a_job_longer_than_every_window_is_refused() -> None:
    nights = tuple(
        Busy("gpu", NOW_S + (24 * day + 12) * HOUR_S, NOW_S + (24 * day + 24) * HOUR_S) for day in range(20)
    )
    closed = Busy("gpu", NOW_S + 480 * HOUR_S, math.inf)
    with pytest.raises(InputError, match="takes 20h, and gpu is never open or free for so long"):
        make_plan(campaign(CampaignJob("a", (mode(8, 20),)), busy=(*nights, closed)))


def test_the_end_of_a_job_is_later_where_those_before_it_may_be_late() -> None:
    jobs = (CampaignJob("a", (mode(8, 4, late=2.0),)), CampaignJob("b", (mode(8, 4, late=2.0),)))
    plan = make_plan(campaign(*jobs, gpus=8))
    first, second = (plan.ends_s[each.job] for each in plan.planned)
    assert first.p90 == pytest.approx(8 * HOUR_S, rel=0.1)
    assert second.p90 > 4 * HOUR_S + 8 * HOUR_S * 0.95
    assert second.p90 < 16 * HOUR_S  # both are seldom late together
    assert end_ranges(plan.campaign, plan.planned) == plan.ends_s


def test_use_of_the_cap_never_exceeds_it() -> None:
    plan = make_plan(many(12))
    steps = plan.gpus_in_use("gpu")
    assert max(gpus for _, gpus in steps) <= 32
    assert steps[-1][1] == 0


def test_a_late_job_gets_the_smallest_change_that_helps() -> None:
    jobs = [CampaignJob(name, (mode(8, 4),), deadline_s=NOW_S + 6 * HOUR_S) for name in "ab"]
    plan = make_plan(campaign(*jobs, gpus=8))
    (change,) = find_changes(plan)
    assert change.more_gpus == 8
    assert change.later_s == pytest.approx(-plan.slack_s(plan.late[0]))
    assert 0 < change.share < 0.5


def test_boxes_grow_in_gpus_and_shrink_in_time() -> None:
    boxes = find_boxes(many(5))
    assert [box.gpus for box in boxes] == sorted(box.gpus for box in boxes)
    assert [box.p90_s for box in boxes] == sorted((box.p90_s for box in boxes), reverse=True)
    assert all(box.p50_s <= box.p90_s for box in boxes)


def test_boxes_of_several_pools_are_refused() -> None:
    pools = (Pool.of("a100", 8, 8), Pool.of("h100", 8, 8))
    with pytest.raises(InputError, match="a reservation is of one partition"):
        find_boxes(Campaign(NOW_S, (CampaignJob("a", (mode(8, 1, "a100"),)),), pools))


def run_until(plan: Plan, hours: float, late: str = "") -> Campaign:
    """The campaign `hours` later: jobs have started as planned, `late` ones take twice as long; ended ones are gone."""
    now_s = NOW_S + hours * HOUR_S
    jobs = []
    for job in plan.campaign.jobs:
        each = of(plan, job.name)
        shape = each.mode
        if job.name == late:
            shape = replace(shape, p50_s=2 * shape.p50_s, p90_s=2 * shape.p90_s)
        if each.start_s < now_s and each.start_s + shape.p50_s > now_s:
            jobs.append(replace(job, started=Started(shape, each.start_s, each.nodes)))
        elif each.start_s >= now_s:
            jobs.append(job)
    return replace(plan.campaign, now_s=now_s, jobs=tuple(jobs))


def test_nothing_moves_while_everything_goes_as_planned() -> None:
    plan = make_plan(many(8))
    for hours in (1, 5, 9):
        again, moves = replan(run_until(plan, hours), plan.planned)
        assert not moves
        assert not find_faults(again.campaign, again.planned)


def test_a_late_job_moves_those_that_need_its_gpus_or_wait_for_it() -> None:
    jobs = (
        CampaignJob("a", (mode(8, 4),)),
        CampaignJob("b", (mode(8, 4),), after=("a",)),
        CampaignJob("c", (mode(8, 4),)),
        CampaignJob("d", (mode(8, 2),), after=("c",)),
    )
    plan = make_plan(campaign(*jobs, gpus=16))
    _, moves = replan(run_until(plan, 2, late="a"), plan.planned)
    assert [(move.job, move.reason) for move in moves] == [("b", Reason.WAITS)]


def test_a_new_job_is_planned_behind_the_others() -> None:
    plan = make_plan(campaign(*(CampaignJob(name, (mode(8, 4),)) for name in "ab"), gpus=8))
    later = run_until(plan, 1)
    _, moves = replan(replace(later, jobs=(*later.jobs, CampaignJob("new", (mode(8, 1),)))), plan.planned)
    assert [(move.job, move.reason, move.before) for move in moves] == [("new", Reason.NEW, None)]


def test_a_job_that_is_gone_lets_others_start_sooner() -> None:
    plan = make_plan(campaign(*(CampaignJob(name, (mode(8, 4),)) for name in "abc"), gpus=8))
    first, second, third = plan.planned
    later = run_until(plan, 1)
    again, moves = replan(
        replace(later, jobs=tuple(j for j in later.jobs if j.name != second.job)), plan.planned
    )
    assert [(move.job, move.reason) for move in moves] == [(third.job, Reason.GPUS)]
    assert of(again, third.job).start_s == first.end_s


def queue(*jobs: RunningJob | PendingJob, **more: object) -> QueueState:
    return QueueState(
        NOW_S,
        NODES,
        tuple(job for job in jobs if isinstance(job, RunningJob)),
        tuple(job for job in jobs if isinstance(job, PendingJob)),
        partitions={"gpu": Rules()},
        **more,  # type: ignore[arg-type]
    )


def request(nodes: int, gpus: int, hours: float) -> Request:
    return Request(nodes, gpus, hours * HOUR_S, ("gpu",), gpu_type="a100")


def test_a_plan_leaves_others_their_gpus_until_their_limits() -> None:
    theirs = RunningJob("1", "ann", request(2, 8, 5), ("n0", "n1"), NOW_S - HOUR_S)
    pool = Pool.of("gpu", 32, 8)
    busy = busy_by_queue(queue(theirs), pool, "gpu")
    plan = make_plan(campaign(CampaignJob("a", (mode(32, 1),)), CampaignJob("b", (mode(16, 1),)), busy=busy))
    assert (of(plan, "b").start_s, of(plan, "a").start_s) == (NOW_S, NOW_S + 4 * HOUR_S)


def test_pending_jobs_of_others_come_first() -> None:
    theirs = PendingJob("1", "ann", request(4, 8, 5), priority=1.0, submitted_s=NOW_S - 60)
    busy = busy_by_queue(queue(theirs), Pool.of("gpu", 32, 8), "gpu")
    assert (
        of(make_plan(campaign(CampaignJob("a", (mode(8, 1),)), busy=busy)), "a").start_s == NOW_S + 5 * HOUR_S
    )


def test_a_smaller_cap_gets_the_nodes_that_are_most_free() -> None:
    theirs = RunningJob("1", "ann", request(2, 8, 5), ("n0", "n1"), NOW_S - HOUR_S)
    assert busy_by_queue(queue(theirs), Pool.of("gpu", 16, 8), "gpu") == ()


def test_reservations_and_missing_nodes_are_taken() -> None:
    reservation = Reservation("maintenance", NOW_S + HOUR_S, NOW_S + 2 * HOUR_S, frozenset({"n0"}))
    busy = busy_by_queue(queue(reservations=(reservation,)), Pool.of("gpu", 40, 8), "gpu")
    assert [(each.start_s - NOW_S, each.end_s - NOW_S, sum(each.gpus)) for each in busy] == [
        (HOUR_S, 2 * HOUR_S, 8),
        (0.0, math.inf, 8),
    ]


def test_jobs_of_the_campaign_itself_do_not_count() -> None:
    mine = RunningJob("7", "me", request(4, 8, 5), tuple(node.name for node in NODES), NOW_S - HOUR_S)
    assert busy_by_queue(queue(mine), Pool.of("gpu", 32, 8), "gpu", own=frozenset({"7"})) == ()


def test_the_end_of_all_is_planned_with_care_and_its_gap_is_that_of_the_p50() -> None:
    """The end of all is the latest of many: a shape of a narrow range is worth 5 % here, a wide one ends late."""
    wide, narrow = Mode("gpu", 1, 4, 10_000, 20_000), Mode("gpu", 1, 8, 10_500, 10_600)
    campaign = Campaign(0.0, (CampaignJob("a", (wide, narrow)),), (Pool.of("gpu", 8, 8),))
    plan = make_plan(campaign)
    assert [each.mode for each in plan.planned] == [narrow]
    assert plan.planned[0].careful_end_s == 10_500 + 0.3 * 100
    assert plan.value == 10_500
    assert plan.gap == pytest.approx(0.05)
