"""Evaluations and saves inside one interval: pure."""

from collections.abc import Mapping

from .clock import Clock, Moment
from .record import LogRecord, RecordKind

OTHER = "other"
_SHORTEST_OTHER_S = 0.5
_LEAST_SHARE, _MOST_SHARE = 0.3, 3.0  # of the usual time, for the steps beside a pause

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


def part_interval(
    elapsed_s: float, pauses_s: Mapping[str, float | None], stated_s: float | None, usual_s: float | None
) -> tuple[dict[str, float], float]:
    """Return the pauses of an interval, and the time of its steps; 0 if it is not known.

    `pauses_s` are the pauses that lines told of, of which None has no time; `stated_s` is the time of the steps as the
    framework states it, and `usual_s` the time that as many took before.  The steps take what the pauses leave, if
    that is plausible.  A time that nothing explains, or several things at once, is another pause.

    >>> part_interval(52.0, {"evaluation": 40.0}, None, 10.0)
    ({'evaluation': 40.0}, 12.0)
    >>> part_interval(52.0, {"evaluation": None}, None, 10.0)
    ({'evaluation': 42.0}, 10.0)
    >>> part_interval(99.0, {"evaluation": 40.0}, None, 10.0)
    ({'evaluation': 40.0, 'other': 49.0}, 10.0)
    """
    timed = {what: s for what, s in pauses_s.items() if s}
    untimed = [what for what, s in pauses_s.items() if s is None]
    left_s = elapsed_s - sum(timed.values())
    is_plausible = left_s > 0 and (
        usual_s is None or _LEAST_SHARE * usual_s <= left_s <= _MOST_SHARE * usual_s
    )
    trained_s = stated_s if stated_s is not None else left_s if is_plausible and not untimed else usual_s
    if trained_s is None:
        return timed, 0.0
    rest_s = left_s - trained_s
    if untimed and rest_s > 0:
        timed[untimed[0] if len(untimed) == 1 else OTHER] = rest_s
    elif rest_s > max(_SHORTEST_OTHER_S, trained_s):
        timed[OTHER] = rest_s
    return timed, trained_s
