"""A job in stages: a share of its steps each, with an estimate and a check.  Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ...cluster_profiles.profile import ClusterProfile
from ...cluster_profiles.units import format_significant, parse_exact
from ...errors import WorkloadError
from ..estimate.estimate import Estimate, estimate_workload
from ..estimate.steps import count_steps
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from .check import STEP_SLACK, StageCheck

SHARES = (Fraction(1, 100), Fraction(3, 100), Fraction(1))
_EXAMPLE = "1%,3%,100%"


@dataclass(frozen=True)
class Stage:
    """A part of a job that runs before the rest: its share of all steps, its estimate, and the check that it has to pass.

    The last stage has no check: nothing waits for it.
    """

    share: Fraction
    estimate: Estimate
    check: StageCheck | None

    @property
    def name(self) -> str:
        """Return the share as people write it, such as 1 %."""
        return share_text(self.share)


def parse_stages(text: str) -> tuple[Fraction, ...]:
    """Return the shares of stages from `1%,3%,100%`.  Raises WorkloadError.

    >>> parse_stages("1%, 0.1, 100%")
    (Fraction(1, 100), Fraction(1, 10), Fraction(1, 1))
    """
    shares = list[Fraction]()
    for word in text.split(","):
        number = word.strip()
        try:
            share = Fraction(parse_exact(number.removesuffix("%").strip())) / (
                100 if number.endswith("%") else 1
            )
        except ValueError:
            raise WorkloadError(f"--stages: {word!r} is no share of the steps: write {_EXAMPLE}") from None
        if not 0 < share <= 1:
            raise WorkloadError(f"--stages: {word!r} is not above 0 and at most 100%: write {_EXAMPLE}")
        if shares and share <= shares[-1]:
            raise WorkloadError(
                f"--stages: {text!r} does not grow: write the smallest first, such as {_EXAMPLE}"
            )
        shares.append(share)
    return tuple(shares)


def share_text(share: Fraction) -> str:
    """Return a share in per cent.

    >>> share_text(Fraction(1, 30)), share_text(Fraction(1))
    ('3.33 %', '100 %')
    """
    return f"{format_significant(float(100 * share))} %"


def stage_workload(workload: Workload, share: Fraction) -> Workload:
    """Return the job that trains a share of the steps; it has a name and, unless it is the whole job, an output of its own.

    >>> stage_workload(Workload.of(name="net", samples=1_000_000, batch_size=32, gpus=8), Fraction(1, 100)).training.max_steps
    40
    """
    if share == 1:
        return workload
    steps = math.ceil(share * count_steps(workload).total)
    training = workload.training.model_copy(update={"max_steps": steps, "trainer_steps": None})
    percent = format_significant(float(100 * share)).replace(".", "_")
    return workload.model_copy(
        update={
            "name": f"{workload.name}-{percent}pct" if workload.name else None,
            "training": training,
            "checkpoint": workload.checkpoint.model_copy(update={"folder": None}),
        }
    )


def lay_out_stages(
    workload: Workload,
    profile: ClusterProfile | None = None,
    measurements: Sequence[Measurement] = (),
    now: datetime | None = None,
    shares: Sequence[Fraction] = SHARES,
) -> list[Stage]:
    """Return the stages of a job, each with its estimate.  Raises as `estimate_workload` does.

    >>> job = Workload.of(samples=30_000_000, batch_size=32, gpus=8, samples_per_s=44.3)
    >>> [stage.estimate.steps.total for stage in lay_out_stages(job)]
    [1172, 3516, 117188]
    """
    estimates = [
        estimate_workload(stage_workload(workload, share), profile, measurements, now) for share in shares
    ]
    return [
        Stage(share, estimate, None if estimate is estimates[-1] else check_of(estimate))
        for share, estimate in zip(shares, estimates, strict=True)
    ]


def check_of(estimate: Estimate) -> StageCheck:
    """Return the check of a stage: what its estimate says of speed and memory has to hold."""
    step, gpu, peak = estimate.step_time.seconds, estimate.placement.gpu, estimate.memory.peak_bytes
    return StageCheck(
        step_time_s=step.p90 * STEP_SLACK if step else None,
        memory_bytes=peak.p90 if peak else None,
        capacity_bytes=gpu.memory_bytes if gpu else None,
    )
