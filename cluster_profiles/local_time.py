"""Moments as a person reads them: in the time zone of this machine, which is named."""

from datetime import datetime


def format_local_time(time_s: float, now_s: float) -> str:
    """Return a Unix time in local time, with its zone; the date is left out if it is that of `now_s`.

    >>> format_local_time(0.0, 0.0) == f"{datetime.fromtimestamp(0.0).astimezone():%H:%M %Z}"
    True
    """
    moment = datetime.fromtimestamp(time_s).astimezone()
    is_today = moment.date() == datetime.fromtimestamp(now_s).astimezone().date()
    return f"{moment:%H:%M %Z}" if is_today else f"{moment:%Y-%m-%d %H:%M %Z}"
