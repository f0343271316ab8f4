"""Moments as a person reads them, in the time zone of this machine, and as a program does, in UTC."""

from datetime import UTC, datetime

_SHORT_S = 600.0


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
