"""Moments as a person reads and writes them, in the time zone of this machine, and as a program does, in UTC."""

import re
from datetime import UTC, datetime, timedelta

from .units import DAY_S, parse_duration_s

LONGEST_DEADLINE_S = 100 * 366 * DAY_S
_SHORT_S = 600.0
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_IN_WORDS = re.compile(r"(today|tomorrow|[a-z]{3,9})(?:\s+(?:at\s+)?(\d{1,2}):(\d\d))?")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")


def parse_deadline_s(text: str, now: datetime) -> float:
    """Return the seconds from `now` to a deadline: a duration, an ISO date or time, or a day in words, in the zone of `now`.

    Without a zone both are of this machine, whose clock may be changed between them.  A date alone means its first moment,
    as Slurm reads it, and so does a day such as "tomorrow".  A day of the week, and a time such as 18:00, is the next one
    that is yet to come; with seconds a time could be a duration, and is neither.

    >>> parse_deadline_s("2026-11-27", datetime(2026, 11, 26, 12)) / 3600
    12.0
    >>> parse_deadline_s("friday 18:00", datetime(2026, 11, 26, 12)) / 3600  # a Thursday
    30.0
    >>> parse_deadline_s("11:30", datetime(2026, 11, 26, 12)) / 3600
    23.5
    """
    try:
        moment = _parse_day(text.strip().lower(), now) or datetime.fromisoformat(text.strip())
    except ValueError:
        error = ValueError(
            'is neither a duration such as "2d" nor a date such as 2026-11-27, 2026-11-27T18:00 or "tomorrow 18:00"'
        )
        if re.fullmatch(r"[\d:]+", text.strip()):
            raise error from None
        try:
            seconds = parse_duration_s(text)
        except ValueError:
            raise error from None
    else:
        moment = moment.replace(tzinfo=moment.tzinfo or now.tzinfo)
        seconds = (moment.replace(tzinfo=None) - now.replace(tzinfo=None)).total_seconds()
        if abs(seconds) <= LONGEST_DEADLINE_S:  # further away a zone may have no such time
            seconds = (moment.astimezone() - now.astimezone()).total_seconds()
    if seconds > LONGEST_DEADLINE_S:
        raise ValueError("is more than 100 years away")
    if seconds <= 0:
        raise ValueError(f"is in the past: now is {now:%Y-%m-%d %H:%M}")
    return seconds


def _parse_day(text: str, now: datetime) -> datetime | None:
    """Return the moment of "tomorrow 18:00", "fri" or "18:00"; None for other text.  Raises ValueError for 25:00."""
    if clock := _CLOCK.fullmatch(text):
        moment = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return moment if moment > now else moment + timedelta(days=1)
    words = _DAY_IN_WORDS.fullmatch(text)
    if not words:
        return None
    name, hour, minute = words.groups()
    moment = now.replace(hour=int(hour or 0), minute=int(minute or 0), second=0, microsecond=0)
    if name == "today":
        return moment
    if name == "tomorrow":
        return moment + timedelta(days=1)
    day = next((number for number, day in enumerate(_DAYS) if day.startswith(name)), None)
    if day is None:
        return None
    moment += timedelta(days=(day - moment.weekday()) % 7)
    return moment if moment > now else moment + timedelta(days=7)


def format_local_time(time_s: float, now_s: float) -> str:
    """Return a Unix time in local time, with its zone; the date is left out if it is that of `now_s`.

    >>> format_local_time(0.0, 0.0) == f"{datetime.fromtimestamp(0.0).astimezone():%H:%M %Z}"
    True
    """
    moment = datetime.fromtimestamp(time_s).astimezone()
    is_today = moment.date() == datetime.fromtimestamp(now_s).astimezone().date()
    return f"{moment:%H:%M %Z}" if is_today else f"{moment:%Y-%m-%d %H:%M %Z}"


def format_local_span(began_s: float, ended_s: float | None, now_s: float) -> str:
    """Return from when to when something lasted, in local time with its zone; `ended_s` is None while it lasts.

    Seconds are shown of what lasted less than ten minutes.

    >>> format_local_span(0.0, 7.0, 9.0) == f"{datetime.fromtimestamp(0.0).astimezone():from %H:%M:%S} to " + (
    ...     f"{datetime.fromtimestamp(7.0).astimezone():%H:%M:%S %Z}"
    ... )
    True
    """
    if ended_s is None:
        return f"from {format_local_time(began_s, now_s)}"
    began, ended, now = (datetime.fromtimestamp(time_s).astimezone() for time_s in (began_s, ended_s, now_s))
    clock = "%H:%M:%S" if ended_s - began_s < _SHORT_S else "%H:%M"
    first = clock if began.date() == now.date() else f"%Y-%m-%d {clock}"
    last = clock if began.date() == ended.date() else f"%Y-%m-%d {clock}"
    return f"from {began:{first}} to {ended:{last}} {ended:%Z}"


def format_local_range(first_s: float, last_s: float, now_s: float) -> str:
    """Return between what times something will be, in local time with its zone; seconds only if it is soon.

    >>> format_local_range(1000.0, 9000.0, 0.0).startswith("between ")
    True
    """
    first, last, now = (datetime.fromtimestamp(time_s).astimezone() for time_s in (first_s, last_s, now_s))
    clock = "%H:%M:%S" if last_s - now_s < _SHORT_S else "%H:%M"
    begin = f"{first:{clock}}" if first.date() == now.date() else f"{first:%Y-%m-%d {clock}}"
    end = f"{last:{clock}}" if first.date() == last.date() else f"{last:%Y-%m-%d {clock}}"
    return f"about {begin} {last:%Z}" if begin == end else f"between {begin} and {end} {last:%Z}"


def local_time_of_utc(text: str) -> str:
    """Return a moment of the history, which is in UTC, in local time with its zone.

    >>> local_time_of_utc("1970-01-01 00:00:07") == f"{datetime.fromtimestamp(7.0).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    True
    """
    return f"{datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def format_utc(time_s: float | None) -> str | None:
    """Return a Unix time in UTC, in whole seconds; None stays None.

    >>> format_utc(0.0)
    '1970-01-01T00:00:00Z'
    """
    return None if time_s is None else f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
