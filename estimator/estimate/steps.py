"""The optimizer steps of a run, exactly as each framework counts them.

Integer arithmetic only.  N samples per epoch, B micro-batch, W data-parallel replicas, G gradient accumulation, E epochs
(a fraction).  The facts on each framework: `job/framework.py`; their sources, with test vectors: docs/explanation/steps.md.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from ...cluster_profiles.units import ceil_div
from ...errors import WorkloadError
from ..job.framework import STEP_RULES, Dealing, EpochSizes, Framework
from ..job.training import BatchRampup
from ..job.workload import Workload
from .rampup import count_rampup


@dataclass(frozen=True)
class StepCount:
    """The optimizer steps of one run, and the use of every sample.

    `full` steps hold micro-batch x data parallel x accumulation samples, each counted once per epoch.
    `last_partial_samples` is the number of samples in the last other step, 0 without one.  All steps together hold
    `samples`, and `dropped_samples` of all samples x epochs are in no step.  `batches` are loaded per replica and epoch;
    `micro_batches` pass through the model of a replica in the whole run.  Where the size of the data is not known,
    `dropped_samples` and `batches` are None.  `rampup` steps are those of a batch ramp-up, below the global batch.
    """

    total: int
    full: int
    last_partial_samples: int
    samples: int
    dropped_samples: int | None
    batches: int | None
    micro_batches: int
    convention: Framework
    rampup: int = 0


def count_steps(workload: Workload) -> StepCount:
    """Return the steps of `workload`.  Raises WorkloadError if no batch is left to train on.

    >>> steps = count_steps(Workload.of(samples=1_000_000, batch_size=32, gpus=8))
    >>> steps.total, steps.full, steps.last_partial_samples
    (3907, 3906, 64)
    >>> count_steps(Workload.of(samples=1_000_000, batch_size=32, gpus=8, framework="floor")).total
    3906
    """
    t = workload.training
    return count(
        t.framework,
        samples=workload.epoch_samples,
        batch_size=t.batch_size,
        world=t.data_parallel,
        accumulation=t.accumulation,
        epochs=t.epochs,
        drop_last=t.drop_last,
        sampler_drop_last=t.sampler_drop_last,
        sequence_parallel=t.sequence_parallel,
        max_steps=t.max_steps,
        repeats_data=t.repeats_data,
        batch_rampup=t.batch_rampup,
    )


def count(
    framework: Framework,
    *,
    samples: int | None,
    batch_size: int,
    world: int,
    accumulation: int = 1,
    epochs: Fraction = Fraction(1),
    drop_last: bool = False,
    sampler_drop_last: bool = False,
    sequence_parallel: int = 1,
    max_steps: int | None = None,
    repeats_data: bool = False,
    batch_rampup: BatchRampup | None = None,
) -> StepCount:
    """Return the steps for plain numbers; `world` is the number of replicas.  Raises as `count_steps` does.

    `max_steps` ends the run early; with `repeats_data` it is the length of the run, and `samples` may be None.
    `batch_rampup` is for frameworks that deal one stream.
    """
    rule, batch = STEP_RULES[framework], batch_size * world
    if batch_rampup:
        stream = None if samples is None else int(samples * epochs)
        limits = (None if repeats_data else stream, max_steps)
        steps = _with_rampup(framework, batch_rampup, batch, accumulation, *limits)
        if samples is None or stream is None:
            return steps
        dropped = max(stream - steps.samples, 0)
        return replace(steps, dropped_samples=dropped, batches=samples // batch)
    if samples is None:
        return _without_data(framework, max_steps or 0, batch, accumulation)
    all_samples = int(samples * epochs)
    # Where every GPU is dealt data, each sequence-parallel group takes the batches of its GPUs in turn.
    turns = sequence_parallel if rule.deals_to_every_gpu else 1
    loading_gpus = world * turns
    batches = turns * _batches(rule.dealing, samples, batch_size, loading_gpus, drop_last, sampler_drop_last)
    sizes = EpochSizes(samples, batches, batch * accumulation, accumulation, epochs)
    total = _limited(rule.total.steps(sizes), max_steps, repeats_data)
    if rule.dealing is Dealing.STREAM:
        used_samples = total * sizes.step_samples
        dropped = max(all_samples - used_samples, 0)
        return StepCount(total, total, 0, used_samples, dropped, batches, total * accumulation, framework)
    if not batches:
        raise WorkloadError(
            f"drop_last leaves no batch: {samples:,} samples are fewer than batch size {batch_size:,} x "
            f"{loading_gpus:,} GPUs that load data = {batch_size * loading_gpus:,}; keep the last batch, or make it smaller"
        )
    kept = samples // world * world if sampler_drop_last else samples
    used = min(kept, batches * batch)  # beyond `kept` the sampler only repeats samples
    compose = _across_epochs if rule.total.across_epochs else _by_epoch
    full, last_partial, used_samples, micro_batches = compose(total, batches, used, batch, accumulation)
    dropped = max(all_samples - used_samples, 0)
    return StepCount(total, full, last_partial, used_samples, dropped, batches, micro_batches, framework)


def _without_data(framework: Framework, steps: int, batch: int, accumulation: int) -> StepCount:
    micro_batches = steps * accumulation
    return StepCount(steps, steps, 0, micro_batches * batch, None, None, micro_batches, framework)


def _with_rampup(
    framework: Framework,
    rampup: BatchRampup,
    batch: int,
    accumulation: int,
    samples: int | None,
    max_steps: int | None,
) -> StepCount:
    """The steps until `samples` or `max_steps` end; one of both may be None."""
    size = batch * accumulation
    begun, consumed = count_rampup(rampup, size, samples, max_steps)
    by_data = [] if samples is None else [(samples - consumed) // size]
    by_steps = [] if max_steps is None else [max_steps - begun]
    full = min(by_data + by_steps)
    used = consumed + full * size
    return StepCount(begun + full, full, 0, used, None, None, used // batch, framework, rampup=begun)


def _batches(
    dealing: Dealing,
    samples: int,
    batch_size: int,
    world: int,
    drop_last: bool,  # noqa: FBT001
    sampler_drop_last: bool,  # noqa: FBT001
) -> int:
    """Batches that each replica loads in an epoch."""
    if dealing is not Dealing.SAMPLES:
        dropped = drop_last or dealing is Dealing.STREAM
        return samples // (batch_size * world) if dropped else ceil_div(samples, batch_size * world)
    # Padding to a multiple of the replicas may complete a batch.
    each = samples // world if sampler_drop_last else ceil_div(samples, world)
    return each // batch_size if drop_last else ceil_div(each, batch_size)


def _limited(total: int, max_steps: int | None, repeats_data: bool) -> int:  # noqa: FBT001
    if max_steps is None:
        return total
    return max_steps if repeats_data else min(total, max_steps)


def _by_epoch(
    total: int, batches: int, used: int, batch: int, accumulation: int
) -> tuple[int, int, int, int]:
    """(full steps, samples in the last partial one, samples used, micro-batches) where each epoch ends with a step."""
    step = batch * accumulation
    full_per_epoch, closing = divmod(used, step)
    epochs, rest = divmod(total, ceil_div(batches, accumulation))
    full = epochs * full_per_epoch + min(rest, full_per_epoch)
    used_samples = epochs * used + min(rest * step, used)
    return (
        full,
        closing if full < total else 0,
        used_samples,
        epochs * batches + min(rest * accumulation, batches),
    )


def _across_epochs(
    total: int, batches: int, used: int, batch: int, accumulation: int
) -> tuple[int, int, int, int]:
    """The same where a step takes the next `accumulation` batches, of whichever epoch."""
    missing = batches * batch - used  # samples that the last batch of an epoch lacks
    ends = total * accumulation // batches  # epoch ends that the steps reach
    used_samples, micro_batches = total * accumulation * batch - ends * missing, total * accumulation
    if not missing or not ends:
        return total, 0, used_samples, micro_batches
    last = ceil_div(ends * batches, accumulation)  # the step that holds the last of them
    ends_in_last = last * accumulation // batches - (last - 1) * accumulation // batches
    partial = ends if batches >= accumulation else total
    return total - partial, accumulation * batch - ends_in_last * missing, used_samples, micro_batches
