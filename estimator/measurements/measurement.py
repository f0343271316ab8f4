"""What one measured run was: a plain frozen value, whoever measured it."""

from dataclasses import dataclass, fields
from datetime import datetime

from ...cluster_profiles.precision import Precision
from ..job.shape import Shape


@dataclass(frozen=True)
class Measurement:
    """The steady step time of one run, and the configuration it was measured in.

    `spread` is half the P10-P90 width of its step times, relative; `busy_share` the share of time the
    GPUs computed, `data_wait_share` the share of the step spent waiting for input; `startup_s` is from the start of
    an attempt to its first step, `evaluation_s` and `checkpoint_s` what one of them takes.  None is not known.
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
    model_parallel: int = 1  # GPUs that hold one replica
    startup_s: float | None = None
    evaluation_s: float | None = None
    checkpoint_s: float | None = None
    queue_wait_s: float | None = None
    restarts: int | None = None
    energy_per_sample_j: float | None = None

    @property
    def shape(self) -> Shape:
        """Return the configuration that was measured."""
        return Shape(**{f.name: getattr(self, f.name) for f in fields(Shape)})
