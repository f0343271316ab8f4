"""The energy of a job before it runs: from measured joules per sample, otherwise at most what its GPUs are built for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..job.placement import Placement
from ..measurements.measurement import Measurement
from ..ranges import Range
from ..stopping.savings import JOULES_PER_KWH
from .run_cost import RunCost, run_cost

if TYPE_CHECKING:
    from ...cluster_profiles.profile import Rates
    from ..job.workload import Workload

# P10 and P90 of joules per sample, besides what the runs differ by: in the very shape, and in another one.  Our judgement.
_SAME_SHAPE, _OTHER_SHAPE = 0.05, 0.25


@dataclass(frozen=True)
class Energy:
    """The energy of the GPUs alone in kWh.

    `kwh` is measured: joules per sample times samples, `per_sample_j` and from `runs` runs.  Without a measurement
    `at_most_kwh` is the upper bound: the TDP of each GPU, `tdp_w`, until the P90 of the wall-clock.  `footprint` is
    what that costs and its CO2, at the rates of the profile; None without rates.
    """

    kwh: Range | None = None
    per_sample_j: float | None = None
    runs: int = 0
    at_most_kwh: float | None = None
    tdp_w: float | None = None
    footprint: RunCost | None = None


def estimate_energy(
    samples: int,
    workload: "Workload",
    placement: Placement,
    measurements: Sequence[Measurement],
    gpu_hours: Range | None,
    rates: "Rates | None" = None,
) -> Energy | None:
    """Return the energy of a job over `samples` samples; None if no run measured it and the GPU or the time is unknown.

    Runs of the model on this GPU type in this precision and sequence length count; those in the very shape alone, if
    there are any.

    >>> from ..job.placement import place
    >>> from ..job.workload import Workload
    >>> job = Workload.of(samples=1_000_000, batch_size=32, gpus=8, gpu="a100-sxm4-80gb")
    >>> estimate_energy(1_000_000, job, place(job, None), [], Range.exactly(50)).at_most_kwh
    20.0
    """
    runs = [m for m in measurements if m.energy_per_sample_j and _is_alike(m, workload, placement)]
    same = [m for m in runs if _has_same_shape(m, workload, placement)]
    per_sample_j = sorted(m.energy_per_sample_j or 0.0 for m in same or runs)
    kwh = at_most_kwh = middle = None
    if per_sample_j:
        middle = per_sample_j[len(per_sample_j) // 2]
        known_to = 1 + (_SAME_SHAPE if same else _OTHER_SHAPE)
        low, high = min(per_sample_j[0], middle / known_to), max(per_sample_j[-1], middle * known_to)
        kwh = Range(low, middle, high).scaled(samples / JOULES_PER_KWH)
    elif placement.gpu and gpu_hours:
        at_most_kwh = placement.gpu.tdp_w * gpu_hours.p90 / 1000
    else:
        return None
    footprint = run_cost(kwh.p50 if kwh else at_most_kwh, None, rates, placement.partition) if rates else None
    tdp_w = placement.gpu.tdp_w if placement.gpu and not kwh else None
    return Energy(kwh, middle, len(per_sample_j), at_most_kwh, tdp_w, footprint)


def _is_alike(measurement: Measurement, workload: "Workload", placement: Placement) -> bool:
    return (
        measurement.model == workload.model
        and measurement.gpu == placement.gpu_type
        and measurement.precision == placement.precision
        and measurement.seq_len == workload.data.seq_len
    )


def _has_same_shape(measurement: Measurement, workload: "Workload", placement: Placement) -> bool:
    training = workload.training
    return (measurement.gpus, measurement.nodes, measurement.batch_size, measurement.accumulation) == (
        placement.gpus,
        placement.nodes,
        training.batch_size,
        training.accumulation,
    )
