"""What one measured run was: plain frozen values, whoever measured it."""

from dataclasses import dataclass
from datetime import datetime

from ..cluster_profiles.precision import Precision


@dataclass(frozen=True)
class Measurement:
    """The steady step time of one run, and the configuration it was measured in.

    `spread` is half the P10-P90 width of its step times, relative; `busy_share` the share of time the
    GPUs computed, `data_wait_share` the share of the step spent waiting for input; None is not known.
    """

    model: str
    gpu: str | None
    nodes: int
    gpus: int
    gpus_per_node: int
    batch_size: int
    accumulation: int
    precision: Precision
    seq_len: int | None
    step_time_s: float
    spread: float | None = None
    n_steps: int | None = None
    busy_share: float | None = None
    data_wait_share: float | None = None
    memory_peak_bytes: int | None = None
    source: str = ""
    when: datetime | None = None
