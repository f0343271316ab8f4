"""Whether a run that should train gets on: no step for much longer than any pause so far is a stall.  Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..measurements.clock_steps import length_s
from ..measurements.training_loop import LoopEnd, LoopLine, LoopPause, LoopStart, LoopSteps
from .time_left import Start

# Our judgement: a stall is longer than a slow evaluation, and is told early enough to save most of a night.
TIMES_THE_USUAL, TIMES_THE_LONGEST = 10.0, 3.0
LEAST_S = 600.0
LEAST_STARTUP_S = 1_800.0  # to load, to compile and to make the first step


@dataclass(frozen=True)
class Stall:
    """Nothing has come since `since_s` (Unix seconds), which is longer than `limit_s`.

    `usual_s` are the seconds between two lines otherwise; None before the first step of this start.
    """

    since_s: float
    limit_s: float
    usual_s: float | None


def find_stall(lines: Sequence[LoopLine], now_s: float, start: Start | None = None) -> Stall | None:
    """Return the stall of a run whose loop has not ended; None if it gets on, or if nothing tells.

    >>> find_stall([LoopStart(0, 0)], 2_000, Start(0)).limit_s
    1800.0
    """
    if not lines or isinstance(lines[-1], LoopEnd):
        return None
    begins = max((at for at, line in enumerate(lines) if isinstance(line, LoopStart)), default=0)
    current = [line for line in lines[begins:] if isinstance(line, LoopSteps | LoopPause)]
    is_before_first = not current or (start is not None and lines[-1].time_s < start.began_s)
    if is_before_first:
        since_s = start.began_s if start else lines[-1].time_s
        silent_s = length_s(since_s, now_s) or 0.0
        return Stall(since_s, LEAST_STARTUP_S, None) if silent_s > LEAST_STARTUP_S else None
    usual_s = statistics.median(line.seconds for line in current)
    longest_s = max(line.seconds for line in current)
    limit_s = max(LEAST_S, TIMES_THE_USUAL * usual_s, TIMES_THE_LONGEST * longest_s)
    since_s = lines[-1].time_s
    return Stall(since_s, limit_s, usual_s) if (length_s(since_s, now_s) or 0.0) > limit_s else None
