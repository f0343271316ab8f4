"""When GPUs may be used: windows by day and hour, as the times between which a pool is closed."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PATTERN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?(?P<begin>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)"
)
_MINUTES_A_DAY = 24 * 60


class Window(NamedTuple):
    """Hours of some days of the week, 0 for Monday, in minutes from midnight; the end may be on the next day."""

    days: frozenset[int]
    begin_min: int
    end_min: int


def parse_window(text: str) -> Window:
    """Return a window as people write it.  Raises ValueError.

    >>> parse_window("20:00-08:00").end_min / 60, sorted(parse_window("Sat-Sun 00:00-24:00").days)
    (32.0, [5, 6])
    """
    error = ValueError('is not a window such as "20:00-08:00" or "Mon-Fri 20:00-08:00"')
    match = _PATTERN.fullmatch(text.strip().lower())
    if not match:
        raise error
    names = [match["first"] or "mon", match["last"] or match["first"] or "sun"]
    if any(name not in _DAYS for name in names):
        raise error
    first, last = (_DAYS.index(name) for name in names)
    days = frozenset((first + i) % 7 for i in range((last - first) % 7 + 1))
    begin, end = (_minutes(word) for word in (match["begin"], match["end"]))
    if begin is None or end is None or begin >= _MINUTES_A_DAY or begin == end:
        raise error
    return Window(days, begin, end if end > begin else end + _MINUTES_A_DAY)


def _minutes(word: str) -> int | None:
    hours, minutes = map(int, word.split(":"))
    total = hours * 60 + minutes
    return total if minutes < 60 and total <= _MINUTES_A_DAY else None  # noqa: PLR2004


def closed_times(windows: Sequence[Window], now: datetime, days: int) -> list[tuple[float, float]]:
    """Return from when to when none of the windows is open, in Unix seconds, until so many days after `now`.

    `now` is local time without a zone.  Nothing is closed without windows.
    """
    if not windows:
        return []
    spans = [
        (_moment(day, window.begin_min), _moment(day, window.end_min))
        for offset in range(-1, days)
        for day in [now.date() + timedelta(days=offset)]
        for window in windows
        if day.weekday() in window.days
    ]
    return list(_between(sorted(spans), now.timestamp(), _moment(now.date() + timedelta(days=days), 0)))


def _between(
    spans: Iterable[tuple[float, float]], first_s: float, last_s: float
) -> Iterable[tuple[float, float]]:
    """Yield the times between spans that are in order, and what is after the last of them without an end."""
    open_until_s = first_s
    for begin_s, end_s in spans:
        if begin_s > open_until_s:
            yield open_until_s, begin_s
        open_until_s = max(open_until_s, end_s)
    yield min(open_until_s, last_s) if open_until_s < last_s else open_until_s, float("inf")


def _moment(day: date, minutes: int) -> float:
    """Return a local time as Unix seconds; the clock may have been changed in the night."""
    extra, within = divmod(minutes, _MINUTES_A_DAY)
    clock = datetime.combine(day + timedelta(days=extra), time(within // 60, within % 60))
    return clock.astimezone().timestamp()
