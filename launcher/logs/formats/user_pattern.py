"""The format of a script's own lines, by the regular expression in its job file."""

from .log_format import LogFormat

USER_FORMAT = "log_pattern"


def user_format(pattern: str) -> LogFormat:
    r"""Return the format whose lines the expression matches; the names of its groups are quantities.

    It comes before all others.  Raises re.error when it is used, if it is no regular expression.

    >>> from .read_line import read_line
    >>> record = read_line(user_format(r"it (?P<step>\d+) of (?P<total_steps>\d+), (?P<step_time_ms>\S+) ms"), "it 7 of 90, 250 ms")
    >>> record.step, record.total_steps, record.step_time_s
    (7, 90, 0.25)
    """
    return LogFormat(
        name=USER_FORMAT,
        framework="any, by run.log_pattern of the job file",
        marker=b"",
        pattern=pattern,
        versions="-",
        reference="-",
    )
