"""The time of each step to come: as this start of the run measured it, as earlier starts did, and as the estimate says.

Each is a belief in the logarithm of the step time, with a standard deviation; beliefs are combined by their precision
(inverse variance).  So the estimate counts before the first measured step, and little after five lines.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..measurements.training_loop import LoopLine, LoopStart, LoopSteps, steady_lines
from ..ranges import Range

_Z90 = statistics.NormalDist().inv_cdf(0.9)
# A line that takes longer than the usual by both holds a pause that nobody marked.  Our judgement.  A measurement leaves
# out only lines of three times the median, because it would lose the time; here it counts among the pauses to come.
_LONGER_BY, _DEVIATIONS = 0.25, 6.0
_DEVIATION_OF_MAD = 1.4826  # of a normal distribution
_LEAST_LINES = 5  # of the recent half
# Standard deviations: of one line before there are several to tell, with the weight of 2 lines; the least of a mean over
# any number of lines; and the least of what was measured in another start, or estimated before the run.  Our judgement.
_OF_ONE_LINE, _WEIGHT = 0.1, 2.0
_LEAST, _LEAST_OF_EARLIER, _LEAST_OF_ESTIMATE = 0.01, 0.1, 0.3


@dataclass(frozen=True)
class Pace:
    """Seconds of each step to come, and how many steps of this start were measured."""

    step_s: Range
    measured_steps: int


def estimate_pace(lines: Sequence[LoopLine], estimate: Range | None = None) -> Pace | None:
    """Return the pace after `lines`; `estimate` is the step time in seconds before the run.  None if nothing is known.

    >>> start, first = LoopStart(0, 0), LoopSteps(9, 1, 1, 9, 9)
    >>> steady = [LoopSteps(9 + 2 * i, 1 + i, 1, 2, 2) for i in range(1, 40)]
    >>> pace = estimate_pace([start, first, *steady], Range(5, 6, 7))
    >>> round(pace.step_s.p50, 2), pace.measured_steps
    (2.0, 39)
    """
    begins = max((at for at, line in enumerate(lines) if isinstance(line, LoopStart)), default=0)
    current, earlier = (usual_lines(steady_lines(part)) for part in (lines[begins:], lines[:begins]))
    beliefs = []
    if earlier:
        mean, deviation = _believe(earlier)
        beliefs.append((mean, max(deviation, _LEAST_OF_EARLIER)))
    elif estimate:
        deviation = math.log(estimate.p90 / estimate.p10) / 2 / _Z90 if estimate.p10 else math.inf
        beliefs.append((math.log(estimate.p50), max(deviation, _LEAST_OF_ESTIMATE)))
    if current:
        beliefs.append(_believe(current))
    if not beliefs:
        return None
    weights = [1 / deviation**2 for _, deviation in beliefs]
    mean = sum(weight * mean for weight, (mean, _) in zip(weights, beliefs, strict=True)) / sum(weights)
    width = math.exp(_Z90 / math.sqrt(sum(weights))) - 1
    return Pace(Range.around(math.exp(mean), width), sum(line.steps for line in current))


def usual_lines(lines: Sequence[LoopSteps]) -> list[LoopSteps]:
    """Return the lines of steps that hold no pause: none that takes much longer than the others.

    Lines are compared by their time per sample, if all tell their samples, because a batch may grow.
    """
    if not lines:
        return []
    counts = [line.samples or 0 for line in lines]
    if not all(counts):
        counts = [line.steps for line in lines]
    times_s = [line.seconds / count for line, count in zip(lines, counts, strict=True)]
    usual = statistics.median(times_s)
    deviation = _DEVIATION_OF_MAD * statistics.median(abs(time - usual) for time in times_s)
    longest = usual + max(_LONGER_BY * usual, _DEVIATIONS * deviation)
    return [line for line, time in zip(lines, times_s, strict=True) if 0 < time <= longest]


def _believe(lines: Sequence[LoopSteps]) -> tuple[float, float]:
    """The belief that lines give: the mean of the later half, as sure as lines agree and as that half is like the whole."""
    recent = later_half(lines)
    mean = _mean_s(recent)
    squares = sum(line.steps * math.log(line.seconds / line.steps / mean) ** 2 for line in recent)
    variance = len(recent) * squares / sum(line.steps for line in recent)
    of_line = math.sqrt((variance + _WEIGHT * _OF_ONE_LINE**2) / (len(recent) + _WEIGHT))
    drift = math.log(mean / _mean_s(lines)) / 2
    return math.log(mean), math.hypot(of_line / math.sqrt(len(recent)), drift, _LEAST)


def later_half(lines: Sequence[LoopSteps]) -> Sequence[LoopSteps]:
    """Return the last lines that hold half of the steps: a pace that changes is that of late."""
    half = sum(line.steps for line in lines) / 2
    taken = sum(steps < half for steps in accumulate(line.steps for line in reversed(lines))) + 1
    return lines[-max(taken, _LEAST_LINES) :]


def _mean_s(lines: Sequence[LoopSteps]) -> float:
    return sum(line.seconds for line in lines) / sum(line.steps for line in lines)
