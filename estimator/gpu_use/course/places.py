"""Where on a run's course a note belongs: on which chart, and from when to when.  Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..notes import Note
from .course import RunCourse

_CHARTS = {"throttled": "power", "clock": "power", "head-room": "memory", "precision": "tensor"}
_OF_EVENTS = {"xid": ("xid",), "gpu_lost": ("gpu_lost",)}
_LOW = 0.5  # of the mean of all GPUs: below it a part of time is one that the note speaks of
_SEEN_AS_LOW = ("idle", "hang", "stall", "input", "no-process", "straggler", "slower")
_WHOLE = 0.9  # of the time: a note on so much of it is on all of it


@dataclass(frozen=True)
class NotePlace:
    """A note with the chart that shows it, and the seconds of the course that it is on; None is the whole run."""

    note: Note
    chart: str | None
    between_s: tuple[float, float] | None


def place_notes(
    notes: Sequence[Note], course: RunCourse | None, events: Sequence[Mapping[str, Any]]
) -> list[NotePlace]:
    """Return each note with its place; one that no chart shows has none."""
    return [_place(note, course, events) for note in notes]


def _place(note: Note, course: RunCourse | None, events: Sequence[Mapping[str, Any]]) -> NotePlace:
    if course is None or not course.values:
        return NotePlace(note, None, None)
    chart = _CHARTS.get(note.code, "utilisation")
    if chart not in course.values or (note.code not in (*_SEEN_AS_LOW, *_CHARTS, *_OF_EVENTS)):
        return NotePlace(note, None, None)
    times_s = [
        row["time_s"] - course.begin_s
        for row in events
        if row["kind"] in _OF_EVENTS.get(note.code, ())
        and (not note.uuids or row["uuid"] in (*note.uuids, None))
    ]
    if times_s:
        return NotePlace(note, chart, (max(min(times_s), 0.0), max(times_s)))
    return NotePlace(note, chart, _longest_low(note, course) if note.code in _SEEN_AS_LOW else None)


def _longest_low(note: Note, course: RunCourse) -> tuple[float, float] | None:
    """Return the longest time in which the GPUs of a note did less than half of what all do on the whole."""
    lines = course.values["utilisation"]
    chosen = [lines[uuid] for uuid in note.uuids if uuid in lines] or list(lines.values())
    known = [value for line in lines.values() for value in line if value is not None]
    level = _LOW * sum(known) / len(known)
    best, begin = (0, 0), None
    for part in range(course.parts + 1):
        is_low = part < course.parts and any(
            (value := line[part]) is not None and value < level for line in chosen
        )
        if is_low and begin is None:
            begin = part
        elif not is_low and begin is not None:
            best, begin = max(best, (begin, part), key=lambda pair: pair[1] - pair[0]), None
    first, last = best
    if not 0 < last - first < _WHOLE * course.parts:
        return None
    return first * course.width_s, last * course.width_s
