"""Moments as a person reads them, in the time zone of this machine, and as a program does, in UTC."""

from datetime import UTC, datetime


def format_local_time(time_s: float, now_s: float) -> str:
    """Return a Unix time in local time, with its zone; the date is left out if it is that of `now_s`.

    >>> format_local_time(0.0, 0.0) == f"{datetime.fromtimestamp(0.0).astimezone():%H:%M %Z}"
    True
    """
    moment = datetime.fromtimestamp(time_s).astimezone()
    is_today = moment.date() == datetime.fromtimestamp(now_s).astimezone().date()
    return f"{moment:%H:%M %Z}" if is_today else f"{moment:%Y-%m-%d %H:%M %Z}"


def format_utc(time_s: float | None) -> str | None:
    """Return a Unix time in UTC, in whole seconds; None stays None.

    >>> format_utc(0.0)
    '1970-01-01T00:00:00Z'
    """
    return None if time_s is None else f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
