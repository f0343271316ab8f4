"""One frame of `clusterplan watch`, from the values that it shows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ...cluster_profiles.local_time import format_local_range, format_local_time
from ...cluster_profiles.units import format_duration, format_significant, plural
from ...launcher.runs.run_status import RunStatus
from ...launcher.runs.state import OPEN_STATES, State
from ..columns import shorten_middle
from ..layout import Page, Style
from ..state_styles import STATE_STYLES
from .progress_text import UNKNOWN, alarms, steps_of, time_left

if TYPE_CHECKING:
    from ...launcher.forecast.waiting import Waiting

_BAR = 10  # columns
_MOST_GPUS = 16  # rows; of more, the mean is shown for each run
_GIB = 2**30
_GAP = "   "
_NARROW = 60  # columns of a terminal below which bars are left out
_BESIDE_NAME, _SHORTEST_NAME = (
    46,
    20,
)  # columns that state, progress and end need beside a name; that a name keeps


class Gpu(Protocol):
    """One GPU by its latest reading; None is not known."""

    @property
    def node(self) -> str: ...
    @property
    def index(self) -> str: ...
    @property
    def utilisation_percent(self) -> float | None: ...
    @property
    def memory_used_bytes(self) -> int | None: ...
    @property
    def memory_bytes(self) -> int | None: ...
    @property
    def power_w(self) -> float | None: ...


def write_frame(
    page: Page,
    runs: Sequence[RunStatus],
    gpus: Mapping[str, Sequence[Gpu]],
    waits: Mapping[str, "Waiting"],
    now_s: float,
    keys: str = "",
) -> None:
    """Write the runs with their progress and GPUs; `keys` says how the watching ends."""
    page.mark(STATE_STYLES)
    counts = {
        state: sum(run.state.state is state for run in runs) for state in (State.RUNNING, State.PENDING)
    }
    counted = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    head = f"{format_local_time(now_s, now_s)}  {counted}"
    fits = len(head) + len(keys) + len(_GAP) <= page.width
    for line in [f"{head}{_GAP}{keys}"] if fits else [head, keys]:
        page.line(line, Style.BOLD)
    page.line()
    is_narrow, name_columns = page.width < _NARROW, max(page.width - _BESIDE_NAME, _SHORTEST_NAME)
    names = {run.run: shorten_middle(run.run, name_columns) for run in runs}
    page.table(
        ("run", "state", "progress", "steps", "loss", "speed", "GPUs", "ends in"),
        [
            (
                names[run.run],
                run.state.state,
                _progress(run, has_bar=not is_narrow),
                steps_of(run),
                _loss(run),
                _speed(run),
                _mean(gpus.get(run.run, ())),
                _ends_in(run),
            )
            for run in runs
        ],
        right=(3, 4, 5, 6, 7),
        first_to_go=("speed", "GPUs", "loss", "steps", "ends in"),
    )
    page.notes([(names[run.run], details) for run in runs if (details := _details(run, waits.get(run.run)))])
    shown = [(run, each) for run, of_run in gpus.items() for each in of_run]
    if 0 < len(shown) <= _MOST_GPUS:
        page.line()
        page.table(
            ("GPU", "busy", "", "memory", "power"),
            [
                (
                    f"{gpu.node} {gpu.index}",
                    draw_bar((gpu.utilisation_percent or 0) / 100),
                    UNKNOWN if gpu.utilisation_percent is None else f"{gpu.utilisation_percent:.0f} %",
                    _memory(gpu),
                    UNKNOWN if gpu.power_w is None else f"{gpu.power_w:.0f} W",
                )
                for _, gpu in shown
            ],
            right=(2, 3, 4),
            first_to_go=("power", "busy"),
        )


def draw_bar(share: float, columns: int = _BAR) -> str:
    """Return a bar of which a share is full.

    >>> draw_bar(0.5, 4), draw_bar(1.2, 4)
    ('██░░', '████')
    """
    full = round(min(max(share, 0.0), 1.0) * columns)
    return "█" * full + "░" * (columns - full)


def _progress(run: RunStatus, *, has_bar: bool) -> str:
    total = run.progress.total if run.progress else None
    if not run.progress or not total:
        return ""
    share = run.progress.steps_done / total
    return f"{draw_bar(share)} {share:4.0%}" if has_bar else f"{share:.0%}"


def _loss(run: RunStatus) -> str:
    loss = run.progress.loss if run.progress else None
    return "" if loss is None else format_significant(loss)


def _speed(run: RunStatus) -> str:
    rate = run.progress.rate_steps_per_s if run.progress else None
    return f"{format_significant(rate)}/s" if rate else ""


def _mean(gpus: Sequence[Gpu]) -> str:
    busy = [gpu.utilisation_percent for gpu in gpus if gpu.utilisation_percent is not None]
    return f"{sum(busy) / len(busy):.0f} %" if busy else ""


def _ends_in(run: RunStatus) -> str:
    left = time_left(run)
    if not left:
        return ""
    return f"{format_duration(left.seconds.p10)} to {format_duration(left.seconds.p90)}"


def _details(run: RunStatus, waiting: "Waiting | None") -> str:
    left = time_left(run)
    parts = list(alarms(run))
    if left:
        first, last = run.looked_s + left.seconds.p10, run.looked_s + left.seconds.p90
        parts.append(format_local_range(first, last, run.looked_s))
    if waiting:
        from .waiting_text import waiting_rows  # noqa: PLC0415  the queue, for pending runs only

        _, answer, remark = waiting_rows(waiting)[0]
        parts += [f"starts in {answer}" if answer[:1].isdecimal() else f"starts {answer}", remark]
    elif not left:
        parts.append(run.state.reason)
    if run.restarts:
        parts.append(plural(run.restarts, "restart"))
    return "; ".join(part for part in parts if part)


def _memory(gpu: Gpu) -> str:
    if gpu.memory_used_bytes is None:
        return UNKNOWN
    of = f"/{gpu.memory_bytes / _GIB:.0f}" if gpu.memory_bytes else ""
    return f"{gpu.memory_used_bytes / _GIB:.1f}{of} GiB"


def all_ended(runs: Sequence[RunStatus]) -> bool:
    """Return whether no run goes on."""
    return not any(run.state.state in OPEN_STATES for run in runs)
