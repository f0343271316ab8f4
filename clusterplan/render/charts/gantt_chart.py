"""Jobs over time: for each a bar of its plan, and below it one of what happened; its deadline, and now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .escaped import escape_text, format_place
from .figure import Figure, Values, frame_plot
from .scale import Axis, clock_axis

MOST_JOBS = 60  # drawn; the table has all
_ROW = 48.0  # pixels per job, with its name above
_NAME, _PLAN, _WAS, _HIGH = 14.0, 19.0, 31.0, 10.0  # where they are in it, and the height of a bar
_FAR = 1.5  # times the length of all jobs: a deadline after that is not drawn
_LEGEND = {
    "plan": "planned",
    "run": "runs",
    "wait": "is expected to take",
    "good": "completed",
    "bad": "failed",
    "limit": "deadline",
    "chosen": "now",
}


@dataclass(frozen=True)
class JobBars:
    """One job: from when to when it is `planned`, and `was`, in Unix seconds; None is not yet, or not known.

    `kind` is that of the bar of what happened: run, good or bad.  The second of `was` is None while it goes on, and
    `left_s` what it then still takes.
    """

    name: str
    state: str
    kind: str
    planned: tuple[float, float]
    was: tuple[float, float | None] | None = None
    left_s: float | None = None
    deadline_s: float | None = None


def draw_gantt(
    key: str, title: str, jobs: Sequence[JobBars], now_s: float, spell: Callable[[float], str]
) -> Figure:
    """Return the bars of the jobs in their order; of many, those that go on and the latest to end are drawn.

    `spell` gives a time as text.
    """
    shown = _choose(jobs)
    x = _axis(shown, now_s)
    inner, outer, kinds = list[str](), list[str](), set[str]()
    tall = _ROW * max(len(shown), 1)
    for number, job in enumerate(shown):
        top = number * _ROW
        for kind, y, begin_s, end_s in _bars(job, now_s):
            begin, end = x.x(begin_s), x.x(end_s)
            kinds.add(kind)
            inner.append(
                f'<rect class="stretch {kind}" x="{format_place(begin)}" y="{format_place(top + y)}" '
                f'width="{format_place(max(end - begin, 2))}" height="{_HIGH:.0f}"/>'
            )
        if job.deadline_s is not None and job.deadline_s <= x.high:
            kinds.add("limit")
            inner.append(
                f'<path class="limit" d="M{format_place(x.x(job.deadline_s))} {format_place(top + _PLAN - 3)}v{_HIGH * 2 + 8:.0f}"/>'
            )
        outer.append(
            f'<text class="name" x="0" y="{format_place(22 + top + _NAME)}">{escape_text(f"{job.name}: {job.state}")}</text>'
        )
    if shown and x.low <= now_s <= x.high:
        kinds.add("chosen")
        inner.insert(0, f'<path class="chosen" d="M{format_place(x.x(now_s))} 0V{format_place(tall)}"/>')
    left_out = len(jobs) - len(shown)
    return Figure(
        key=key,
        title=title,
        summary=" ".join(f"{_spoken(job, spell)}." for job in shown) or "There is no job.",
        drawing=frame_plot("".join(inner), x, None, "".join(outer), tall),
        values=Values(
            ("job", "state", "planned from", "to", "was from", "to", "deadline"),
            [_cells(job, spell) for job in jobs],
        ),
        legend=[(kind, name) for kind, name in _LEGEND.items() if kind in kinds],
        tall=tall,
        remarks=[f"{left_out:,} more jobs are in the table alone."] if left_out else [],
        is_flush=True,
    )


def _choose(jobs: Sequence[JobBars]) -> Sequence[JobBars]:
    """Return the jobs that are drawn, in the order of all."""
    if len(jobs) <= MOST_JOBS:
        return jobs

    def ended_s(job: JobBars) -> float:
        end_s = job.was[1] if job.was else None
        return float("inf") if end_s is None else end_s

    latest = sorted(range(len(jobs)), key=lambda number: -ended_s(jobs[number]))[:MOST_JOBS]
    return [jobs[number] for number in sorted(latest)]


def _axis(jobs: Sequence[JobBars], now_s: float) -> Axis:
    times = [
        time_s for job in jobs for _, _, begin_s, end_s in _bars(job, now_s) for time_s in (begin_s, end_s)
    ]
    begin_s, end_s = min(times, default=now_s), max(times, default=now_s)
    furthest_s = begin_s + _FAR * (end_s - begin_s)
    deadlines = [
        job.deadline_s for job in jobs if job.deadline_s is not None and job.deadline_s <= furthest_s
    ]
    return clock_axis(begin_s, max([end_s, *deadlines]))


def _bars(job: JobBars, now_s: float) -> list[tuple[str, float, float, float]]:
    """Return kind, place from the top, begin and end of each bar of a job."""
    bars = [("plan", _PLAN, *job.planned)]
    if job.was:
        begin_s, end_s = job.was
        until_s = max(now_s, begin_s) if end_s is None else end_s
        bars.append((job.kind, _WAS, begin_s, until_s))
        if end_s is None and job.left_s:
            bars.append(("wait", _WAS, until_s, until_s + job.left_s))
    return bars


def _cells(job: JobBars, spell: Callable[[float], str]) -> tuple[str, ...]:
    was = job.was or (None, None)
    times = (*job.planned, *was, job.deadline_s)
    return (job.name, job.state, *("" if time_s is None else spell(time_s) for time_s in times))


def _spoken(job: JobBars, spell: Callable[[float], str]) -> str:
    words = f"{job.name}: {job.state}, planned {spell(job.planned[0])} to {spell(job.planned[1])}"
    if job.was:
        begin_s, end_s = job.was
        words += f", since {spell(begin_s)}" if end_s is None else f", was {spell(begin_s)} to {spell(end_s)}"
    return words + (f", deadline {spell(job.deadline_s)}" if job.deadline_s is not None else "")
