"""Whether a campaign can be planned at all, and whether a plan keeps to its campaign, GPU by GPU."""

from collections.abc import Sequence

from ...cluster_profiles.units import format_duration, join_names, plural
from ...errors import InputError
from .campaign import Campaign, PlannedJob
from .chains import ordered_names
from .placing.list_schedule import ListScheduler
from .placing.node_lines import NodeLine, find_place

_DUST_S = 1e-3


def check_campaign(campaign: Campaign) -> None:
    """Raise InputError for a job that waits for itself or for none that there is, or that fits nowhere at any time."""
    names = {job.name for job in campaign.jobs}
    for job in campaign.jobs:
        if unknown := [name for name in job.after if name not in names]:
            raise InputError(
                f"job {job.name!r}: after: {unknown[0]!r} is not a job of this campaign: give one of {join_names(sorted(names))}"
            )
    if circle := sorted(names - set(ordered_names(campaign))):
        waiting = (
            f"job {circle[0]!r} waits for itself"
            if len(circle) == 1
            else f"jobs {join_names(map(repr, circle))} wait for one another in a circle"
        )
        raise InputError(f"{waiting}: take a name out of `after`")
    lines = ListScheduler(campaign).lines
    for job in campaign.to_plan:
        places = [
            find_place(
                lines[mode.pool],
                mode.nodes,
                mode.gpus_per_node,
                max(campaign.now_s, job.earliest_s),
                mode.p50_s,
            )
            for mode in job.modes
        ]
        if not any(places):
            raise InputError(f"job {job.name!r} fits at no time: {_why_it_fits_nowhere(campaign, job.name)}")


def _why_it_fits_nowhere(campaign: Campaign, name: str) -> str:
    job = campaign.job[name]
    smallest = min(job.modes, key=lambda mode: mode.gpus)
    pool = campaign.pool[smallest.pool]
    if smallest.gpus > pool.gpus or smallest.gpus_per_node > max(pool.nodes):
        return (
            f"its smallest shape has {plural(smallest.gpus, 'GPU')}, and {pool.name} has {plural(pool.gpus, 'GPU')} on "
            f"{plural(len(pool.nodes), 'node')}: allow it fewer GPUs, or raise the cap"
        )
    fastest = min(job.modes, key=lambda mode: mode.p50_s)
    return (
        f"even its fastest shape, {plural(fastest.gpus, 'GPU')}, takes {format_duration(fastest.p50_s)}, and {fastest.pool} is never "
        "open or free for so long: widen a window, or split the job into shorter ones"
    )


def find_faults(campaign: Campaign, planned: Sequence[PlannedJob]) -> list[str]:
    """Return what is wrong with a plan: jobs that lack, start too early or in a shape that they may not have, full nodes.

    None of it is in a plan that clusterplan makes; a plan that was read or solved is checked by this.
    """
    faults, by_name = list[str](), {each.job: each for each in planned}
    for job in campaign.jobs:
        each = by_name.get(job.name)
        if each is None:
            faults.append(f"{job.name} is not in the plan")
            continue
        if job.started:
            continue
        if each.mode not in job.modes:
            faults.append(f"{job.name} has a shape that it may not have")
        earliest_s = max(
            [campaign.now_s, job.earliest_s, *(by_name[o].end_s for o in job.after if o in by_name)]
        )
        if each.start_s < earliest_s - _DUST_S:
            faults.append(f"{job.name} starts {format_duration(earliest_s - each.start_s)} too early")
        if len(set(each.nodes)) != each.mode.nodes:
            faults.append(
                f"{job.name} is on {plural(len(set(each.nodes)), 'node')} and not on {each.mode.nodes}"
            )
    return faults + _overfull_nodes(campaign, planned)


def _overfull_nodes(campaign: Campaign, planned: Sequence[PlannedJob]) -> list[str]:
    lines = ListScheduler(campaign).lines
    faults = []
    for each in sorted(planned, key=lambda each: each.start_s):
        if each.is_started:
            continue
        for place in each.nodes:
            line = lines[each.mode.pool][place]
            if _least_free(line, each.start_s, each.end_s) < each.mode.gpus_per_node:
                faults.append(f"{each.job} finds fewer GPUs free on node {place + 1} of {each.mode.pool}")
            line.take(each.start_s, each.end_s, each.mode.gpus_per_node)
    return faults


def _least_free(line: NodeLine, start_s: float, end_s: float) -> int:
    within = [
        free
        for free, begin_s in zip(line.free, line.times, strict=True)
        if start_s + _DUST_S < begin_s < end_s - _DUST_S
    ]
    return min([line.free_gpus(start_s + _DUST_S), *within])
