"""The steps between two evaluations or checkpoints, from how the job file states them, as the trainer rounds."""

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from ...cluster_profiles.units import ceil_div
from ...errors import WorkloadError
from ..job.framework import STEP_RULES, Dealing
from ..job.given import Pause
from ..job.workload import Workload
from .steps import StepCount

if TYPE_CHECKING:  # it is made from these
    from .estimate import Estimate


def interval_steps(pause: Pause, workload: Workload, steps: StepCount) -> int | None:
    """Return the steps from one pause to the next: 0 for never, None if that is not stated.

    A share s of the run is ceil(s x steps), as Trainer rounds `eval_steps` and `save_steps` below 1.  E epochs are
    floor(E x steps of an epoch), so that they end before the batch that would be beyond them (Lightning's
    `val_check_interval`).  Both are at least one step.  Raises WorkloadError for epochs of data of unknown size.

    >>> from clusterplan.estimator.estimate.steps import count_steps
    >>> job = Workload.of(samples=1_000_000, batch_size=32, gpus=8)
    >>> interval_steps(Pause(every_steps=0.1), job, count_steps(job))
    391
    >>> interval_steps(Pause(every_epochs=1), job, count_steps(job))
    3907
    """
    if pause.every_epochs is not None:
        return max(int(pause.every_epochs * _epoch_steps(workload, steps)), 1)
    every = pause.every_steps
    return max(math.ceil(every * steps.total), 1) if isinstance(every, float) else every


def recommended_steps(estimate: "Estimate") -> int | None:
    """Return the steps between checkpoints as stated, else those that lose the least time; at least one is written, at the end."""
    workload, steps = estimate.workload, estimate.steps
    if workload.checkpoint.has_interval:
        return interval_steps(workload.checkpoint, workload, steps)
    interval = estimate.clock.checkpoint_interval
    return min(interval.steps, steps.total) if interval else None


def _epoch_steps(workload: Workload, steps: StepCount) -> Fraction:
    """The steps of one epoch: whole where each epoch ends with a step."""
    rule, accumulation = STEP_RULES[steps.convention], workload.training.accumulation
    if workload.epoch_samples is None or steps.batches is None:
        raise WorkloadError("every_epochs needs the size of the data: give samples, or every_steps")
    if rule.dealing is Dealing.STREAM:
        return Fraction(workload.epoch_samples, workload.training.step_samples)
    if rule.total.across_epochs:
        return Fraction(steps.batches, accumulation)
    return Fraction(ceil_div(steps.batches, accumulation))


def count_evaluations(workload: Workload, steps: StepCount) -> int | None:
    """Return the evaluations of the run, None if it states no interval; Trainer also ends a last, partial epoch with one."""
    every = interval_steps(workload.evaluation, workload, steps)
    if not every:
        return every
    ends_with_one = workload.evaluation.every_epochs is not None and STEP_RULES[steps.convention].is_trainer
    return ceil_div(steps.total, every) if ends_with_one else steps.total // every
