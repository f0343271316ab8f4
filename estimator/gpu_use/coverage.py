"""Which samples a run's period calls for, and which of them are not there.

A run of several attempts has a sampler for each.  Between two attempts there was nothing to sample; within one, a
sample that is not there is missing.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from ...cluster_profiles.units import format_duration
from .reading import Event

COVERAGE_SHARE = 0.98  # of the samples that the period calls for
ENDED_EARLY_S = 30.0  # a sampler that ended this long before the run did, without a word, was killed
_OVER = ("end", "attempt_ended")


class Break(NamedTuple):
    """A node's time between two attempts: from the end of one to the sampler of the next."""

    ended_s: float
    began_s: float


def find_breaks(events: Sequence[Event]) -> list[Break]:
    """The breaks of a node, by its events.

    An attempt is over when its sampler ends as asked, or where that was killed, when the run folder says so.

    >>> find_breaks([Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")])
    [Break(ended_s=50, began_s=90)]
    """
    starts = sorted(event.time_s for event in events if event.kind == "start")
    over = [event.time_s for event in events if event.kind in _OVER]
    found = []
    for before, start in pairwise(starts):
        ends = [time_s for time_s in over if before <= time_s <= start]
        if ends:
            found.append(Break(min(ends), start))
    return found


def attempt_end_s(first_s: float, events: Sequence[Event], ended_s: float | None) -> float | None:
    """When the attempt of which a sampler had its first reading then was over; None while it goes on.

    The last one is over with the run where neither its sampler nor the run folder says when.

    >>> attempt_end_s(1, [Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")], 200)
    50
    >>> attempt_end_s(91, [Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")], 200)
    200
    """
    after = min((e.time_s for e in events if e.kind == "start" and e.time_s > first_s), default=math.inf)
    over = [e.time_s for e in events if e.kind in _OVER and first_s <= e.time_s <= after]
    return min(over, default=ended_s if after == math.inf else None)


def between_s(nodes: Iterable[Sequence[Event]]) -> float:
    """How long no attempt of a run was on any of its nodes, from the first to the last, by their events.

    >>> first, next_ = [Event(0, "start", ""), Event(50, "end", "")], [Event(90, "start", "")]
    >>> between_s([first, next_])
    40
    """
    spans = sorted(
        (event.time_s, end_s)
        for events in nodes
        for event in events
        if event.kind == "start" and (end_s := attempt_end_s(event.time_s, events, math.inf)) is not None
    )
    reached = accumulate((end_s for _, end_s in spans), max)
    return sum(max(began_s - over_s, 0) for over_s, (began_s, _) in zip(reached, spans[1:], strict=False))


def missing_between(before_s: float, next_s: float, period_s: float, pauses: Sequence[Break]) -> int:
    """How many samples are not there, between one and the next.

    >>> missing_between(1, 4, 1.0, [])
    2
    >>> missing_between(1, 94, 1.0, [Break(2, 93.5)])
    0
    """
    if next_s - before_s < 1.5 * period_s:
        return 0
    ended = [max(pause.ended_s, before_s) for pause in pauses if before_s < pause.began_s <= next_s]
    return max(round((min(ended, default=next_s) - before_s) / period_s) - 1, 0)


def sampled_s(first_s: float, last_s: float, pauses: Sequence[Break]) -> float:
    """The time between the first and the last sample, without the breaks."""
    within = (pause for pause in pauses if first_s < pause.began_s <= last_s)
    return last_s - first_s - sum(began - max(ended, first_s) for ended, began in within)


def early_end(
    node: str, events: Sequence[Event], last_s: float | None, ended_s: float | None
) -> Iterator[str]:
    """That the sampler of a node's last attempt was gone before that was over, and did not end as asked.

    The run may have gone on without the node; that says nothing of the node.
    """
    start = max((event.time_s for event in events if event.kind == "start"), default=0.0)
    since = [event for event in events if event.time_s >= start]
    if last_s is None or any(event.kind == "end" for event in since):
        return
    own_s = min((event.time_s for event in since if event.kind == "attempt_ended"), default=None)
    over_s, what = (ended_s, "run") if own_s is None else (own_s, "attempt")
    if over_s is not None and over_s - last_s > ENDED_EARLY_S:
        lost = format_duration(over_s - last_s)
        yield f"{node}: the sampler was gone {lost} before the {what} ended; what the GPUs did then is not known"
