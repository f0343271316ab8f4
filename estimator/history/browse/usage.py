"""The use of GPUs, summed up by user, model, partition or state."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Usage:
    """What some runs held and used: hours are GPU-hours in which samplers read the GPUs.

    `idle_gpu_hours` had no work at all; `used_gpu_hours` is utilisation x time, of the `known_gpu_hours` whose
    utilisation was read.
    """

    user: str | None
    model: str | None
    partition: str | None
    state: str | None
    runs: int
    gpu_hours: float
    idle_gpu_hours: float
    used_gpu_hours: float
    known_gpu_hours: float
    energy_kwh: float

    @property
    def utilisation_percent(self) -> float | None:
        """Return the mean utilisation in per cent; None where it was not read."""
        return 100 * self.used_gpu_hours / self.known_gpu_hours if self.known_gpu_hours else None

    @property
    def idle_share(self) -> float | None:
        """Return the share of the GPU-hours without any work; None without GPU-hours."""
        return self.idle_gpu_hours / self.gpu_hours if self.gpu_hours else None


_SUMMED = ("runs", "gpu_hours", "idle_gpu_hours", "used_gpu_hours", "known_gpu_hours", "energy_kwh")
_NAMED = ("user", "model", "partition", "state")


def sum_usage(usages: Iterable[Usage], by: str | None = None) -> list[Usage]:
    """Return the sums by one of `user`, `model`, `partition`, `state`, the most GPU-hours first; without it that of all.

    >>> parts = [Usage("ann", "phi2", None, "failed", 1, 4.0, 1.0, 2.0, 4.0, 0.5), Usage("ann", "llama", None, "completed", 2, 6.0, 0.0, 6.0, 6.0, 1.5)]
    >>> [(each.user, each.runs, each.gpu_hours, each.utilisation_percent) for each in sum_usage(parts, "user")]
    [('ann', 3, 10.0, 80.0)]
    """
    sums = dict[str | None, Usage]()
    for usage in usages:
        name = getattr(usage, by) if by else None
        before = sums.get(name)
        if before is None:
            others: dict[str, Any] = dict.fromkeys(_NAMED) | ({by: name} if by else {})
            sums[name] = replace(usage, **others)
        else:
            more = {field: getattr(before, field) + getattr(usage, field) for field in _SUMMED}
            sums[name] = replace(before, **more)
    return sorted(sums.values(), key=lambda usage: (-usage.gpu_hours, -usage.runs))
