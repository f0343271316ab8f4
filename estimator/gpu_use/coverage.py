"""Which readings are due on a node, which of them are missing, and the notes on nodes and their samplers.  Pure.

A run of several attempts has a sampler for each.  Between two attempts no reading is due; within one, a reading that was
not written is missing.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from ...cluster_profiles.units import format_duration, plural
from ..measurements.clock_steps import length_s
from .notes import Note, advise_to_avoid, format_span, group_alike, name_nodes
from .reading import Event

COVERAGE_SHARE = 0.98  # of the readings that the period calls for
EARLY_END_S = 30.0  # a sampler that stopped this long before the run, without an end, was killed
_ENDS = ("end", "attempt_ended")
_CLOCK_EVENTS = ("clock_step", "clock_wrong")  # then times of others may be far from those of the sampler
_NOTED = {
    "driver_fails": "driver",
    "clock_wrong": "clock",
    "clock_step": "clock",
    "clock_off": "clock",
    "gpu_lost": "gpu_lost",
    "no_permission": "no-permission",
}  # events, and the codes of their notes


class Break(NamedTuple):
    """A node's time between two attempts: from the end of one to the sampler of the next, in Unix time."""

    ended_s: float
    began_s: float


@dataclass(frozen=True)
class RunNode:
    """One node of a run: its GPUs, the events of it and its samplers, and the Unix time of its last reading.

    `damaged_bytes` of its spools cannot be read, and `dropped` values in them cannot be.
    """

    name: str
    uuids: tuple[str, ...]
    events: Sequence[Event]
    last_s: float | None = None
    damaged_bytes: int = 0
    dropped: int = 0

    @property
    def breaks(self) -> list[Break]:
        """Return the node's times between two attempts."""
        return find_breaks(self.events)


class EarlyEnd(NamedTuple):
    """A sampler that stopped `lost_s` before the end of the `span`: the run, or the node's last attempt."""

    lost_s: float
    span: str


def find_breaks(events: Sequence[Event]) -> list[Break]:
    """Return the breaks of a node, from its events.

    An attempt ends when its sampler ends as asked; if the sampler was killed, when the run folder says so.

    >>> find_breaks([Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")])
    [Break(ended_s=50, began_s=90)]
    """
    starts = sorted(event.time_s for event in events if event.kind == "start")
    ends = [event.time_s for event in events if event.kind in _ENDS]
    breaks = []
    for before, start in pairwise(starts):
        between = [time_s for time_s in ends if before <= time_s <= start]
        if between:
            breaks.append(Break(min(between), start))
    return breaks


def attempt_end_s(first_s: float, events: Sequence[Event], ended_s: float | None) -> float | None:
    """Return the Unix time at which an attempt ended, from the first reading of its sampler; None while it goes on.

    The last attempt ends with the run (`ended_s`) if neither its sampler nor the run folder says when.

    >>> attempt_end_s(1, [Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")], 200)
    50
    >>> attempt_end_s(91, [Event(0, "start", ""), Event(50, "attempt_ended", ""), Event(90, "start", "")], 200)
    200
    """
    after = min((e.time_s for e in events if e.kind == "start" and e.time_s > first_s), default=math.inf)
    ends = [e.time_s for e in events if e.kind in _ENDS and first_s <= e.time_s <= after]
    return min(ends, default=ended_s if after == math.inf else None)


def count_missing(before_s: float, next_s: float, period_s: float, breaks: Sequence[Break]) -> int:
    """Return how many readings are missing between one and the next.

    >>> count_missing(1, 4, 1.0, [])
    2
    >>> count_missing(1, 94, 1.0, [Break(2, 93.5)])
    0
    """
    if next_s - before_s < 1.5 * period_s:
        return 0
    ended = [max(pause.ended_s, before_s) for pause in breaks if before_s < pause.began_s <= next_s]
    return max(round((min(ended, default=next_s) - before_s) / period_s) - 1, 0)


def sampled_s(first_s: float, last_s: float, breaks: Sequence[Break]) -> float:
    """Return the seconds between the first and the last reading, without the breaks."""
    within = (pause for pause in breaks if first_s < pause.began_s <= last_s)
    return last_s - first_s - sum(began - max(ended, first_s) for ended, began in within)


def allocated_s(
    stretches: Iterable[tuple[float, float]],
    events: Sequence[Event],
    period_s: float,
    ended_s: float | None,
    *,
    lost: bool,
) -> float | None:
    """Return the seconds in which attempts held a GPU, each from its first reading (stretches: first and last) on.

    A sampler whose last GPU was `lost` ends at once, and the attempt may go on: then its end does not count.
    None where the end of an attempt is by another clock than its readings, and cannot be right.
    """
    if lost:
        events = [event for event in events if event.kind != "end"]
    is_stepped = any(event.kind in _CLOCK_EVENTS for event in events)
    total_s = 0.0
    for first_s, last_s in stretches:
        end_s = attempt_end_s(first_s, events, ended_s)
        has_own_end = any(event.kind == "end" and event.time_s == end_s for event in events)
        held_s = length_s(first_s, max(end_s or 0.0, last_s + period_s))
        if held_s is None or (
            is_stepped and end_s is not None and not has_own_end and end_s > last_s + EARLY_END_S
        ):
            return None
        total_s += held_s
    return total_s


def find_node_notes(nodes: Sequence[RunNode], ended_s: float | None) -> list[Note]:
    """Return the notes on a run's nodes and samplers: drivers that fail, wrong clocks, GPUs lost from the start, early ends.

    `ended_s` is the Unix time of the run's end; None while it goes on.
    """
    return [*_event_notes(nodes), *_early_end_notes(nodes, ended_s), *_damage_notes(nodes)]


def _damage_notes(nodes: Sequence[RunNode]) -> Iterator[Note]:
    for node in nodes:
        are = "is" if node.damaged_bytes == 1 else "are"
        damage = (
            f"{plural(node.damaged_bytes, 'byte')} of readings {are} damaged" if node.damaged_bytes else ""
        )
        values = f"{plural(node.dropped, 'value')} cannot be right" if node.dropped else ""
        if text := " and ".join(filter(None, (damage, values))):
            yield Note("damage", f"{node.name}: {text}; left out", node.uuids)


def _event_notes(nodes: Sequence[RunNode]) -> Iterator[Note]:
    nodes_of: dict[tuple[str, str], list[RunNode]] = {}
    for node in nodes:
        for event in node.events:
            if event.kind in _NOTED:
                nodes_of.setdefault((_NOTED[event.kind], event.text), []).append(node)
    for (code, text), group in nodes_of.items():
        names = [node.name for node in group]
        if code == "gpu_lost":  # before it could be sampled: its UUID is not known
            yield Note(code, f"{name_nodes(names)}: {text}; {advise_to_avoid(names)}", ())
        elif code == "driver":
            remedy = f"the command may be on the CPU: look at its log, and {advise_to_avoid(names)}"
            yield Note(code, f"{name_nodes(names)}: {text}; {remedy}", ())
        elif code == "no-permission":
            remedy = "the GPU may be fine: ask the administrators who may read it"
            yield Note(code, f"{name_nodes(names)}: {text}; {remedy}", ())
        else:
            yield Note(code, f"{name_nodes(names)}: {text}", _uuids(group))


def _early_end_notes(nodes: Sequence[RunNode], ended_s: float | None) -> Iterator[Note]:
    ends = [(node, end) for node in nodes if (end := find_early_end(node.events, node.last_s, ended_s))]
    for span in sorted({end.span for _, end in ends}):
        early = [(node, end.lost_s) for node, end in ends if end.span == span]
        for group in group_alike(early, itemgetter(1)):
            names = name_nodes(node.name for node, _ in group)
            lost = format_span((lost_s for _, lost_s in group), format_duration)
            text = (
                f"the sampler on {names} stopped {lost} before the {span} ended; its GPUs have no"
                " readings after that"
            )
            yield Note("coverage", text, _uuids([node for node, _ in group]))


def _uuids(nodes: Iterable[RunNode]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(uuid for node in nodes for uuid in node.uuids))


def find_early_end(events: Sequence[Event], last_s: float | None, ended_s: float | None) -> EarlyEnd | None:
    """Return by how much a node's last sampler stopped before its attempt; None if it ended as asked, or in time.

    `last_s` is the last reading on the node, `ended_s` the end of the run.  The run may have gone on without the node.
    """
    start = max((event.time_s for event in events if event.kind == "start"), default=0.0)
    latest = [event for event in events if event.time_s >= start]
    if last_s is None or any(event.kind == "end" for event in latest):
        return None
    attempt_s = min((event.time_s for event in latest if event.kind == "attempt_ended"), default=None)
    end_s, span = (ended_s, "run") if attempt_s is None else (attempt_s, "attempt")
    lost_s = length_s(last_s, end_s)
    return None if lost_s is None or lost_s <= EARLY_END_S else EarlyEnd(lost_s, span)
