"""The line that books nodes: only an administrator may run it.

scontrol(1): a reservation needs a start, an end or a duration, and `Users` or `Accounts`; `NodeCnt` takes whole nodes.
"""

import shlex
from dataclasses import dataclass
from datetime import datetime

from ...cluster_profiles.units import HOUR_S, slurm_time


@dataclass(frozen=True)
class Reservation:
    """Whole nodes of a partition for a time, for users or accounts; `start_s` is in Unix seconds."""

    name: str
    start_s: float
    duration_s: float
    nodes: int
    partition: str | None = None
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()

    def command(self) -> str:
        """Return the command as a shell takes it, with local times, as Slurm reads them.

        >>> Reservation("papers", 0.0, 90_000, 2, "gpu", users=("ann",)).command().partition("Duration=")[2]
        '1-01:00:00 PartitionName=gpu NodeCnt=2 Users=ann'
        """
        moment = datetime.fromtimestamp(self.start_s)  # noqa: DTZ006  local
        words = {
            "ReservationName": self.name,
            "StartTime": f"{moment:%Y-%m-%dT%H:%M:%S}",
            "Duration": slurm_time(self.duration_s),
            "PartitionName": self.partition,
            "NodeCnt": str(self.nodes),
            "Users": ",".join(self.users),
            "Accounts": ",".join(self.accounts),
        }
        return shlex.join(
            [
                "scontrol",
                "create",
                "reservation",
                *(f"{key}={value}" for key, value in words.items() if value),
            ]
        )


def whole_hours_s(seconds: float) -> float:
    """Return a time rounded up to hours.

    >>> whole_hours_s(3601)
    7200.0
    """
    return float(-(-seconds // HOUR_S) * HOUR_S)
