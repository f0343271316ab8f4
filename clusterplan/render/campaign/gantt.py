"""The jobs of a plan over time, as bars of blocks for a terminal."""

from ...estimator.campaign.campaign import PlannedJob
from ...estimator.campaign.plan import Plan

COLUMNS = 60
_BAR, _MAY_LAST, _BEFORE, _DEADLINE = "█", "░", " ", "|"
_HEIGHTS = " ▁▂▃▄▅▆▇█"


def gantt_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return a row for each job: its name, and a bar from its start to its P50, lighter to its P90; `|` is its deadline."""
    return [(each.job, _bar(plan, each)) for each in plan.planned]


def use_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Return a row for each pool: its name, its GPUs, and how many of these are in use over time."""
    return [(pool.name, f"{pool.gpus:,}", _use(plan, pool.name, pool.gpus)) for pool in plan.campaign.pools]


def column_of(plan: Plan, time_s: float) -> int:
    """Return the column of a time, 0 for now, `COLUMNS` for the end of all."""
    now_s = plan.campaign.now_s
    return round((time_s - now_s) / max(plan.end_s - now_s, 1.0) * COLUMNS)


def _bar(plan: Plan, each: PlannedJob) -> str:
    start = min(max(column_of(plan, each.start_s), 0), COLUMNS - 1)
    end = min(max(column_of(plan, each.end_s), start + 1), COLUMNS)
    late = min(max(column_of(plan, plan.late_end_s(each)), end), COLUMNS + COLUMNS // 5)
    bar = list(_BEFORE * start + _BAR * (end - start) + _MAY_LAST * (late - end))
    deadline_s = plan.campaign.job[each.job].deadline_s
    if deadline_s is not None:
        place = column_of(plan, deadline_s)
        if 0 <= place < COLUMNS + COLUMNS // 5:
            bar += _BEFORE * (place + 1 - len(bar))
            bar[place] = _DEADLINE
    return "".join(bar)


def _use(plan: Plan, pool: str, gpus: int) -> str:
    steps = plan.gpus_in_use(pool)
    now_s, width_s = plan.campaign.now_s, max(plan.end_s - plan.campaign.now_s, 1.0) / COLUMNS
    cells = []
    for column in range(COLUMNS):
        middle_s = now_s + (column + 0.5) * width_s
        used = next((count for time_s, count in reversed(steps) if time_s <= middle_s), 0)
        cells.append(_HEIGHTS[min(-(-used * (len(_HEIGHTS) - 1) // gpus), len(_HEIGHTS) - 1)])
    return "".join(cells)
