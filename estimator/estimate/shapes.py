"""Other shapes of one workload, side by side, and which of them meets a deadline or a budget."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ...cluster_profiles.toml_file import validate
from ...cluster_profiles.units import parse_exact
from ...errors import NotEnoughHistory, WorkloadError
from ..job.training import Training
from ..job.workload import Workload
from ..ranges import Range
from ..step_time.source import SourceKind
from .advice_on_machine import why_unknown
from .estimate import Estimate

WORTHWHILE = 0.75
_GPU_HOURS = {"gpuhours", "gpuhour", "gpuh"}


class Keep(StrEnum):
    """What stays the same while the GPU count changes: they are different questions.

    With the per-GPU batch kept, more GPUs take fewer, larger steps (weak scaling); with the global batch
    kept, every shape takes the same steps, each shared by more GPUs (strong scaling).
    """

    PER_GPU_BATCH = "per-gpu-batch"
    GLOBAL_BATCH = "global-batch"


class Verdict(StrEnum):
    """Whether a bound is met: `yes` at P90, `maybe` at P50 only, `no` otherwise."""

    YES = "yes"
    MAYBE = "maybe"
    NO = "no"


@dataclass(frozen=True)
class Budget:
    """A bound on GPU-hours, or on money if `currency` is set."""

    amount: float
    currency: str | None = None


def parse_budget(text: str) -> Budget:
    """A budget as people write it: GPU-hours, or money.

    >>> parse_budget("500 GPU-hours"), parse_budget("1_200 EUR")
    (Budget(amount=500.0, currency=None), Budget(amount=1200.0, currency='EUR'))
    """
    wrong = ValueError('is not a budget such as "500 GPU-hours" or "1200 EUR"')
    match = re.fullmatch(r"\s*([\d_.]+(?:e\d+)?)\s*([A-Za-z][A-Za-z -]*?)\s*", text)
    if not match:
        raise wrong
    try:
        amount = float(parse_exact(match[1]))
    except ValueError:
        raise wrong from None
    unit = match[2]
    if amount > 0 and re.sub("[ -]", "", unit.lower()) in _GPU_HOURS:
        return Budget(amount)
    if amount > 0 and re.fullmatch("[A-Za-z]{3}", unit):
        return Budget(amount, unit.upper())
    raise wrong


@dataclass(frozen=True)
class Verdicts:
    """How one shape does against each bound that was set."""

    deadline: Verdict | None
    budget: Verdict | None

    @property
    def all_met(self) -> bool:
        return all(verdict in (None, Verdict.YES) for verdict in (self.deadline, self.budget))


def vary_shapes(
    base: Workload, gpus: Sequence[object], precisions: Sequence[object], keep: Keep = Keep.PER_GPU_BATCH
) -> list[Workload]:
    """`base` on each GPU count, in each precision; a throughput given with `base` stays tied to its shape.

    Raises WorkloadError for a shape that cannot be.

    >>> job = Workload.of(samples=1_000_000, batch_size=32, gpus=8)
    >>> [w.training.step_samples for w in vary_shapes(job, [4, 8], ["auto"])]
    [128, 256]
    >>> [w.training.accumulation for w in vary_shapes(job, [4, 8], ["auto"], Keep.GLOBAL_BATCH)]
    [2, 1]
    """
    tied = base.with_rate_tied()
    return [_reshaped(tied, n, precision, keep) for n in gpus for precision in precisions]


def _reshaped(base: Workload, gpus: object, precision: object, keep: Keep) -> Workload:
    if (str(gpus), str(precision)) == (str(base.training.gpus), str(base.training.precision)):
        return base
    values = {**dict(base.training), "gpus": gpus, "precision": precision}
    training = validate(Training, values, lambda key: f"--{key[0]}: " if key else "", WorkloadError)
    if keep is Keep.GLOBAL_BATCH:
        training = training.model_copy(update=_same_global_batch(base, training.data_parallel))
    cluster = base.cluster
    if training.gpus != base.training.gpus:  # these were meant for, or said of, the other count
        cluster = cluster.model_copy(update={"nodes": None})
        training = training.model_copy(update={"trainer_steps": None})
    return base.model_copy(update={"training": training, "cluster": cluster})


def _same_global_batch(base: Workload, world: int) -> dict[str, int]:
    """Micro-batch and accumulation with which `world` replicas make the base's global batch."""
    wanted, largest = base.training.step_samples, base.training.batch_size
    if wanted % world:
        raise WorkloadError(
            f"a global batch of {wanted:,} cannot be shared by {world} data-parallel GPUs; give counts that divide it"
        )
    each = wanted // world
    batch_size = next(b for b in range(min(largest, each), 0, -1) if each % b == 0)
    return {"batch_size": batch_size, "accumulation": each // batch_size}


def judge_bounds(estimate: Estimate, deadline_s: float | None, budget: Budget | None) -> Verdicts:
    """Whether `estimate` meets the bounds.  Raises NotEnoughHistory while its throughput is unknown."""
    if (deadline_s is not None or budget is not None) and estimate.step_time.seconds is None:
        asked = "a deadline" if deadline_s is not None else "a budget"
        raise NotEnoughHistory(
            f"{asked} cannot be judged: {why_unknown(estimate.workload, estimate.step_time.source)}"
        )
    spent = estimate.gpu_hours
    if budget and budget.currency and estimate.clock.total:
        if estimate.cost is None or estimate.cost.currency != budget.currency:
            known = f"its rates are in {estimate.cost.currency}" if estimate.cost else "no rates are known"
            raise WorkloadError(
                f"a budget in {budget.currency} needs a profile with rates in {budget.currency}, and {known}; "
                'give it as "500 GPU-hours"'
            )
        spent = estimate.cost.amount
    return Verdicts(
        deadline=_verdict(estimate.clock.total, deadline_s) if deadline_s is not None else None,
        budget=_verdict(spent, budget.amount) if budget else None,
    )


def _verdict(taken: Range | None, bound: float) -> Verdict:
    if taken is None:  # it never ends
        return Verdict.NO
    return Verdict.YES if taken.p90 <= bound else Verdict.MAYBE if taken.p50 <= bound else Verdict.NO


def choose_best(estimates: Sequence[Estimate], judged: Sequence[Verdicts]) -> int | None:
    """The index of the best shape that meets every bound at P90; None if no shape does, or no bound is set.

    Under a deadline the best is the one with the fewest GPU-hours; under a budget alone, the fastest.
    """
    meeting = [i for i, v in enumerate(judged) if v.all_met and (v.deadline or v.budget)]
    by_deadline = any(v.deadline for v in judged)

    def merit(i: int) -> float:
        taken = estimates[i].gpu_hours if by_deadline else estimates[i].clock.total
        return taken.p50 if taken else float("inf")

    return min(meeting, key=merit, default=None)


def find_knee(estimates: Sequence[Estimate]) -> int | None:
    """The index of the largest shape that keeps `WORTHWHILE` of the smallest's efficiency; None if all do.

    75 % is what NCI Australia asks of jobs on its machines.  Shapes of several precisions have no knee.
    """
    if len({e.placement.precision for e in estimates}) > 1:
        return None
    smallest = min(estimates, key=lambda e: e.placement.gpus)
    kept = WORTHWHILE * (efficiency(estimates, smallest) or 1.0)
    worth = [i for i, e in enumerate(estimates) if (efficiency(estimates, e) or 0.0) >= kept]
    if len(worth) == len(estimates):
        return None
    return max(worth, key=lambda i: estimates[i].placement.gpus, default=None)


def speed_up(base: Estimate, other: Estimate) -> float | None:
    """Samples/s of `other` over those of `base`, medians; None of a prior, which does not model scaling."""
    if base.samples_per_s is None or other.samples_per_s is None:
        return None
    if SourceKind.PRIOR in (base.step_time.source.kind, other.step_time.source.kind):
        return None
    return other.samples_per_s.p50 / base.samples_per_s.p50


def efficiency(estimates: Sequence[Estimate], other: Estimate) -> float | None:
    """Samples/s per GPU of `other` over those of the first of its precision, medians: 1 is perfect scaling."""
    base = next(e for e in estimates if e.placement.precision == other.placement.precision)
    ratio = speed_up(base, other)
    return None if ratio is None else ratio * base.placement.gpus / other.placement.gpus
