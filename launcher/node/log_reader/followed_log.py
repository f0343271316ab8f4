"""What the reader of logs is told: the logs, and when their command started."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FollowedLog:
    """A log from byte `offset` on, where this start of the run begins; `last_rank` reads what that rank alone prints."""

    path: str
    offset: int
    last_rank: bool = False


@dataclass(frozen=True)
class CommandStart:
    """When the command started, by both clocks of the node, and after which step; None is not known."""

    step: int | None
    time_s: float
    monotonic_s: float
