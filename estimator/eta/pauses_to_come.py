"""The evaluations, saves and other pauses that are still to come: each kind at its own interval, with its own time.

A pause is marked by the loop, or it shows in a line of steps that took much longer than the others.  Such a line says
only how much longer it took, so these pauses are one kind.  After one of them, another may come or not.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..measurements.training_loop import LoopLine, LoopPause, steady_lines
from ..ranges import Range
from .pace import usual_lines

UNMARKED = "unmarked"
_IRREGULAR = 1.5  # times the median interval: pauses that come at no regular one
_SPREAD_OF_ONE, _LEAST_SPREAD = 0.3, 0.05  # of the time of a pause.  Our judgement.
# The only unmarked pause so far comes again with this chance: until it is overdue, and then.  Our judgement.
_CHANCE_OF_ONE, _CHANCE_OF_OVERDUE = 0.7, 0.4
_UNSEEN_SHARE = 0.1  # of the run, after which a pause of unknown interval would have come


@dataclass(frozen=True)
class ExpectedPauses:
    """The seconds of all pauses of one kind in the whole run, as estimated, and the steps between two if they are stated."""

    seconds: Range
    every_steps: int | None = None


@dataclass(frozen=True)
class PausesToCome:
    """The pauses of one kind that are still to come: their number, and the seconds of each.

    `next_step` is the step after which the next one comes; None is not known.  `chance` is how likely any of them come.
    """

    number: float
    each_s: Range
    next_step: float | None = None
    chance: float = 1.0


def find_pauses_to_come(
    lines: Sequence[LoopLine], step: int, total: int, expected: Mapping[str, ExpectedPauses] | None = None
) -> list[PausesToCome]:
    """Return the pauses between `step` and `total`, by kind; `expected` are those that were estimated before the run.

    A kind that has come counts as it came.  One that has not counts as estimated, until it is overdue.

    >>> evaluations = [LoopPause(0, 100, "evaluation", 9), LoopPause(0, 200, "evaluation", 11)]
    >>> [pauses] = find_pauses_to_come(evaluations, 250, 1000)
    >>> pauses.number, pauses.each_s.p50, pauses.next_step
    (8, 10.0, 300)
    """
    first = min((line.step for line in lines), default=step)
    pauses = _group(lines)
    seen = [_recur(times, first, step, total, is_marked=kind != UNMARKED) for kind, times in pauses.items()]
    unseen = [
        _unseen(estimate, step - first, step, total)
        for kind, estimate in (expected or {}).items()
        if kind not in pauses
    ]
    return [kind for kind in (*seen, *unseen) if kind.number > 0]


def _group(lines: Sequence[LoopLine]) -> dict[str, dict[int, float]]:
    """The seconds of the pauses of each kind, by the step after which they came: a repeated step has its last."""
    kinds: dict[str, dict[int, float]] = {}
    for line in lines:
        if isinstance(line, LoopPause):
            kinds.setdefault(line.what, {})[line.step] = line.seconds
    steady = steady_lines(lines)
    usual = usual_lines(steady)
    usual_s = statistics.median(line.seconds / line.steps for line in usual) if usual else 0.0
    without_pause = set(usual)
    for line in steady:
        if line not in without_pause and line.seconds > line.steps * usual_s:
            kinds.setdefault(UNMARKED, {})[line.step] = line.seconds - line.steps * usual_s
    return kinds


def _recur(
    times_s: Mapping[int, float], first: int, step: int, total: int, *, is_marked: bool
) -> PausesToCome:
    """The pauses of a kind that came after these steps, in lines that begin at step `first`."""
    steps = sorted(times_s)
    intervals = [after - before for before, after in pairwise([first, *steps])]
    if first and len(steps) > 1:  # the first line of a resumed run is at no multiple of the interval
        intervals = intervals[1:]
    every = statistics.median(intervals)
    each_s = _time(list(times_s.values()))
    is_doubtful = not is_marked and len(steps) == 1
    is_overdue = is_doubtful and step - steps[0] > _IRREGULAR * every
    chance = _CHANCE_OF_OVERDUE if is_overdue else _CHANCE_OF_ONE if is_doubtful else 1.0
    if every <= 0 or is_overdue or max(intervals) > _IRREGULAR * every:
        per_step = len(steps) / max(step - first, 1)
        return PausesToCome((total - step) * per_step, each_s, chance=chance)
    overdue = max(math.ceil((step - steps[-1]) / every) - 1, 0)  # they did not come
    number = int((total - steps[-1]) / every) - overdue
    next_step = None if is_doubtful else steps[-1] + (overdue + 1) * every
    return PausesToCome(max(number, 0), each_s, next_step, chance)


def _time(times_s: Sequence[float]) -> Range:
    """The seconds of the next pause of a kind: the median, and the half of them nearest to it over the root of their number."""
    median = statistics.median(times_s)
    spread = _SPREAD_OF_ONE
    if len(times_s) > 1 and median:
        away = statistics.median(abs(time - median) for time in times_s) / median
        spread = max(2 * away / len(times_s) ** 0.5, _LEAST_SPREAD)
    return Range.around(median, spread)


def _unseen(expected: ExpectedPauses, seen_steps: int, step: int, total: int) -> PausesToCome:
    """Pauses that have not come yet: fewer, the longer they are overdue."""
    if expected.every_steps:
        share = float(seen_steps < 1.5 * expected.every_steps)
    else:
        share = max(1 - seen_steps / (_UNSEEN_SHARE * total), 0) if total else 0
    return PausesToCome(share * max(total - step, 0) / max(total, 1), expected.seconds)
