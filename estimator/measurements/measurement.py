"""One measured run as a frozen value, whoever measured it."""

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from operator import attrgetter

from ...cluster_profiles.precision import Precision
from ..job.shape import Shape

_values_of_shape = attrgetter(*(f.name for f in fields(Shape)))


@dataclass(frozen=True)
class Measurement:
    """The steady step time of one run, and the shape in which it was measured; None is not known.

    `spread` is half the width from P10 to P90 of its step times, relative to their mean.  `busy_share` is the share of
    time in which the GPUs computed, `data_wait_share` the share of the step that waited for input.  `startup_s` is from
    the start of an attempt to its first step, `evaluation_s` and `checkpoint_s` are the times of one.  `cluster` is the
    name of the cluster profile.  Of `parameters`, each token passes through `active_parameters`, and
    `trainable_parameters` are trained.  A probe is a short run of `calibrate`.
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
    model_parallel: int = 1  # GPUs per replica
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    zero_stage: int | None = None
    parameters: int | None = None
    active_parameters: int | None = None
    trainable_parameters: int | None = None
    cluster: str | None = None
    startup_s: float | None = None
    evaluation_s: float | None = None
    checkpoint_s: float | None = None
    queue_wait_s: float | None = None
    restarts: int | None = None
    energy_per_sample_j: float | None = None
    is_probe: bool = False

    @cached_property
    def shape(self) -> Shape:
        """Return the shape that was measured."""
        return Shape(*_values_of_shape(self))
