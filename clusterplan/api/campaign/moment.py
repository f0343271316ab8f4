"""Times of a campaign file as Unix seconds."""

from datetime import datetime

from ...cluster_profiles.local_time import parse_deadline_s
from ...cluster_profiles.units import parse_duration_s
from ...errors import InputError


def parse_future(where: str, text: str, now: datetime) -> float:
    """Return the Unix seconds of a date or a duration from `now` that is yet to come.  Raises InputError."""
    try:
        return now.timestamp() + parse_deadline_s(text, now.astimezone().replace(tzinfo=None))
    except ValueError as error:
        raise InputError(f"{where}: {text!r} {error}") from None


def parse_moment(where: str, text: str, now: datetime) -> float:
    """Return the Unix seconds of a date, which may have passed, or of a duration from `now`.  Raises InputError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return parse_future(where, text, now)
    return moment.astimezone().timestamp()


def parse_within_s(text: str) -> float:
    """Return the seconds that the solver may take.  Raises InputError."""
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InputError(f"--within: {text!r} {error}") from None
