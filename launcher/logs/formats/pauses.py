"""Evaluations and saves inside one interval: pure."""

from .clock import Clock, Moment
from .record import LogRecord, RecordKind

_WHAT = {RecordKind.EVALUATION: "evaluation", RecordKind.SAVE: "checkpoint"}


class Pauses:
    """Collect what lines say of the evaluations and saves since the last step.

    Several formats may tell of the same one, so the longest counts.  A save that has a line for its beginning and one
    for its end lasts as long as they are apart.
    """

    def __init__(self) -> None:
        self._stated_s: dict[str, dict[str, float]] = {}  # by what, then by format
        self._marks: dict[str, list[Moment]] = {}

    def __bool__(self) -> bool:
        return bool(self._marks)

    def add(self, record: LogRecord, moment: Moment) -> None:
        """Add a line about an evaluation or a save."""
        what = _WHAT[record.kind]
        self._marks.setdefault(what, []).append(moment)
        if record.seconds is not None:
            by_format = self._stated_s.setdefault(what, {})
            by_format[record.format] = by_format.get(record.format, 0.0) + record.seconds

    def clear(self) -> None:
        """Forget them."""
        self._stated_s, self._marks = {}, {}

    def seconds(self) -> dict[str, float | None]:
        """Return how long each kind lasted in all; None is not known."""
        return {what: self._seconds(what) for what in self._marks}

    def _seconds(self, what: str) -> float | None:
        if stated := self._stated_s.get(what):
            return max(stated.values())
        first, last = self._marks[what][0], self._marks[what][-1]
        apart_s = last.s - first.s if first.clock is last.clock is not Clock.NONE else 0.0
        return apart_s if what == "checkpoint" and apart_s > 0 else None
