"""Steps counted the slow way: sampler, loader, accumulation and epochs are walked one by one.

Nothing is shared with clusterplan.estimator.estimate.steps.  Each framework's loop is written after its source:
torch.utils.data.DistributedSampler and DataLoader, accelerate's BatchSamplerShard, transformers' Trainer,
Lightning's fit loop, DeepSpeed's engine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Batch = list[int]  # indices of samples


@dataclass
class Walk:
    """Batches a replica loads an epoch, and for every step the samples in it that are new to the epoch."""

    batches: int
    steps: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.steps)


def distributed_sampler(samples: int, world: int, drop_last: bool) -> list[Batch]:
    """Indices by rank, as torch's DistributedSampler deals them."""
    indices = list(range(samples))
    if drop_last:
        indices = indices[: samples // world * world]
    while len(indices) % world:
        indices += indices[: world - len(indices) % world]
    return [indices[rank::world] for rank in range(world)]


def loader(indices: Batch, batch_size: int, drop_last: bool) -> list[Batch]:
    batches = [indices[i : i + batch_size] for i in range(0, len(indices), batch_size)]
    return [b for b in batches if len(b) == batch_size] if drop_last else batches


def torch_batches(
    samples: int, batch_size: int, world: int, drop_last: bool, sampler_drop_last: bool
) -> list[Batch]:
    """One list of indices for each global batch."""
    ranks = [loader(r, batch_size, drop_last) for r in distributed_sampler(samples, world, sampler_drop_last)]
    return [sum(parts, []) for parts in zip(*ranks, strict=True)]


def sharded_batches(samples: int, batch_size: int, world: int, drop_last: bool) -> list[Batch]:
    """Accelerate's BatchSamplerShard with even_batches: whole batches dealt round, the last round filled up."""
    dealt = loader(list(range(samples)), batch_size, drop_last)
    if drop_last:
        return [sum(dealt[i : i + world], []) for i in range(0, len(dealt) - world + 1, world)]
    rounds = [dealt[i : i + world] for i in range(0, len(dealt), world)]
    start: Batch = list(range(min(samples, batch_size * world)))
    for last in rounds[-1:]:
        flat = sum(last, [])
        while len(flat) < batch_size * world:
            flat += start[: batch_size * world - len(flat)]
        rounds[-1] = [flat]
    return [sum(r, []) for r in rounds]


def epoch_batches(
    framework: str, samples: int, batch_size: int, world: int, drop_last: bool, sampler_drop_last: bool
) -> list[Batch]:
    if framework in ("hf", "hf-4.51", "accelerate"):
        return sharded_batches(samples, batch_size, world, drop_last)
    return torch_batches(samples, batch_size, world, drop_last, sampler_drop_last)


def new_samples(batches: Sequence[Batch]) -> list[int]:
    """How many indices of each batch the epoch has not seen before; padding only repeats."""
    seen, counts = set[int](), list[int]()
    for batch in batches:
        counts.append(len(set(batch) - seen))
        seen |= set(batch)
    return counts


def walk(
    framework: str,
    samples: int,
    batch_size: int,
    world: int,
    accumulation: int,
    epochs: Fraction,
    drop_last: bool = False,
    sampler_drop_last: bool = False,
) -> Walk | None:
    """The run; `epochs` is a Fraction.  None where an epoch has no batch."""
    if framework in ("floor", "megatron"):
        stream = math.floor(samples * epochs)
        run, size = Walk(samples // (batch_size * world)), batch_size * world * accumulation
        while stream >= size:
            stream -= size
            run.steps.append(size)
        return run
    batches = epoch_batches(framework, samples, batch_size, world, drop_last, sampler_drop_last)
    if not batches:
        return None
    run, counts = Walk(len(batches)), new_samples(batches)
    if framework == "deepspeed":  # micro_steps runs on over epochs; a step at each multiple of accumulation
        held = 0
        for micro_step in range(1, math.floor(epochs * len(counts)) + 1):
            held += counts[(micro_step - 1) % len(counts)]
            if micro_step % accumulation == 0:
                run.steps.append(held)
                held = 0
        return run
    if framework == "hf-4.51":
        per_epoch = max(len(counts) // accumulation, 1)
    else:
        per_epoch = len(counts) // accumulation + (1 if len(counts) % accumulation else 0)
    most = math.ceil(epochs * per_epoch)
    while len(run.steps) < most:  # one turn is one epoch
        held = 0
        for position, new in enumerate(counts, 1):
            held += new
            if position % accumulation == 0 or position == len(counts):
                run.steps.append(held)
                held = 0
                if len(run.steps) == most:
                    break
    return run


def walk_rampup(
    start: int, increment: int, over: int, global_batch: int, samples: int | None, max_steps: int | None
) -> tuple[list[int], int]:
    """The batch of each step, and the samples consumed, as Megatron-LM's training loop goes on.

    After `update` of RampupBatchsizeNumMicroBatchesCalculator and `update_train_iters`,
    https://github.com/NVIDIA/Megatron-LM
    """
    per_increment = over / ((global_batch - start) // increment)
    consumed, batches = 0, list[int]()
    while max_steps is None or len(batches) < max_steps:
        batch = global_batch if consumed > over else start + int(consumed / per_increment) * increment
        if samples is not None and consumed + batch > samples:
            break
        consumed += batch
        batches.append(batch)
    return batches, consumed
