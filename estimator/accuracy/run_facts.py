"""What is known of one run that may explain its speed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..measurements.measurement import Measurement


@dataclass(frozen=True)
class RunFacts:
    """One run: its measurement, its machines, its software and its command; empty and None are not known.

    `gpus` are the names of its types of GPUs, `packages` versions by name, and `commit` ends in `-dirty` if files had
    changed.  `utilisation_percent` is the mean of its GPUs, `memory_peak_bytes` that of the GPU that used most.
    """

    run: str
    model: str | None = None
    measurement: Measurement | None = None
    gpus: tuple[str, ...] = ()
    power_limits_w: tuple[float, ...] = ()
    drivers: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    commit: str | None = None
    utilisation_percent: float | None = None
    memory_peak_bytes: int | None = None
