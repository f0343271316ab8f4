"""Of the sources that tell the steps of one start of a run, the best one counts alone: pure.

`track` is in the loop.  A file that a framework writes has a clock of its own.  A line of the log has the time at which
it came, and a progress bar is the roughest.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ....estimator.measurements.training_loop import TRACK, LoopLine, LoopStart, LoopSteps

FILE, LOG, BAR = "file", "log", "bar"
_BEST_FIRST = (TRACK, FILE, LOG, BAR)


class SourcedLine(NamedTuple):
    """A line and its source: `track`, or one of the other kinds, a colon and a format."""

    source: str
    line: LoopLine


def lines_of_best_sources(lines: Sequence[SourcedLine]) -> list[LoopLine]:
    """Return the lines of the best source of each start of the run that tells steps, in their order.

    >>> start, steps = LoopStart(0, 0, attempt="1.0"), LoopSteps(1, 1, 1, 1, 1)
    >>> log = [SourcedLine("log:hf", start), SourcedLine("log:hf", steps)]
    >>> track = [SourcedLine("track", start), SourcedLine("track", LoopSteps(2, 2, 1, 1, 1))]
    >>> [line.step for line in lines_of_best_sources([*log, *track])]
    [0, 2]
    """
    tells_steps = dict[str, dict[str, bool]]()  # each source of each attempt
    for attempt, source, line in _with_attempts(lines):
        of_attempt = tells_steps.setdefault(attempt, {})
        of_attempt[source] = of_attempt.get(source, False) or isinstance(line, LoopSteps)
    best = {
        attempt: min(sources, key=lambda source: _rank(source, sources[source]))
        for attempt, sources in tells_steps.items()
    }
    return [line for attempt, source, line in _with_attempts(lines) if source == best[attempt]]


def _with_attempts(lines: Iterable[SourcedLine]) -> Iterator[tuple[str, str, LoopLine]]:
    """Yield each line with its source, and the attempt of the last start that this source told."""
    attempts = dict[str, str]()
    for source, line in lines:
        if isinstance(line, LoopStart):
            attempts[source] = line.attempt
        yield attempts.get(source, ""), source, line


def _rank(source: str, tells_steps: bool) -> tuple[bool, int]:  # noqa: FBT001
    kind = source.partition(":")[0]
    return not tells_steps, _BEST_FIRST.index(kind) if kind in _BEST_FIRST else len(_BEST_FIRST)
