"""Several shapes of one workload: how they scale, and which of them meets a deadline or a budget."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ...cluster_profiles.files.toml_file import validate
from ...cluster_profiles.units import parse_exact
from ...errors import NotEnoughHistory, WorkloadError
from ..job.workload import Workload
from ..ranges import Range
from ..step_time.source import SourceKind
from .advice_on_machine import why_unknown
from .estimate import Estimate

WORTHWHILE = 0.75  # the least efficiency of a shape that is worth its GPUs
_GPU_HOURS = {"gpuhours", "gpuhour", "gpuh"}


class Keep(StrEnum):
    """The batch that stays the same while the number of GPUs changes.

    With the batch of each GPU kept, more GPUs take fewer, larger steps (weak scaling); with the global batch kept, every
    shape takes the same steps, each shared by more GPUs (strong scaling).
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
    """Return a budget as people write it: GPU-hours, or money.  Raises ValueError for anything else.

    >>> parse_budget("500 GPU-hours"), parse_budget("1_200 EUR")
    (Budget(amount=500.0, currency=None), Budget(amount=1200.0, currency='EUR'))
    """
    error = ValueError('is not a budget such as "500 GPU-hours" or "1200 EUR"')
    match = re.fullmatch(r"\s*([\d_.]+(?:e\d+)?)\s*([A-Za-z][A-Za-z -]*?)\s*", text)
    if not match:
        raise error
    try:
        amount = float(parse_exact(match[1]))
    except ValueError:
        raise error from None
    unit = match[2]
    if amount > 0 and re.sub("[ -]", "", unit.lower()) in _GPU_HOURS:
        return Budget(amount)
    if amount > 0 and re.fullmatch("[A-Za-z]{3}", unit):
        return Budget(amount, unit.upper())
    raise error


def parse_keep(text: str) -> Keep:
    """Return the batch that stays the same, by its name.  Raises ValueError."""
    if text not in list(Keep):
        raise ValueError(f"is not one of {', '.join(Keep)}")
    return Keep(text)


@dataclass(frozen=True)
class Verdicts:
    """The verdict on one shape for each bound; None without that bound."""

    deadline: Verdict | None
    budget: Verdict | None

    @property
    def all_met(self) -> bool:
        """Return whether every bound is met at P90."""
        return all(verdict in (None, Verdict.YES) for verdict in (self.deadline, self.budget))


def vary_shapes(
    base: Workload, gpus: Sequence[object], precisions: Sequence[object], keep: Keep = Keep.PER_GPU_BATCH
) -> list[Workload]:
    """Return `base` on each number of GPUs, in each precision; a rate that it states stays tied to its shape.

    Raises WorkloadError for a shape that is not possible.

    >>> job = Workload.of(samples=1_000_000, batch_size=32, gpus=8)
    >>> [w.training.step_samples for w in vary_shapes(job, [4, 8], ["auto"])]
    [128, 256]
    >>> [w.training.accumulation for w in vary_shapes(job, [4, 8], ["auto"], Keep.GLOBAL_BATCH)]
    [2, 1]
    """
    base = base.with_rate_tied()
    return [_reshape(base, n, precision, keep) for n in gpus for precision in precisions]


def _reshape(base: Workload, gpus: object, precision: object, keep: Keep) -> Workload:
    if (str(gpus), str(precision)) == (str(base.training.gpus), str(base.training.precision)):
        return base
    stated = base.training.stated_values() | {"gpus": gpus, "precision": precision}
    if keep is Keep.GLOBAL_BATCH:  # the base's micro-batch and accumulation may not make it up on these GPUs
        any_batch = _with_training(
            base, stated | {"global_batch": None, "global_batch_tokens": None}
        ).training
        stated |= {"batch_tokens": None} | _same_global_batch(base, any_batch.data_parallel)
    shape = _with_training(base, stated)
    if shape.training.gpus == base.training.gpus:
        return shape
    # These belong to the other number of GPUs.
    training = shape.training.model_copy(update={"trainer_steps": None})
    cluster = base.cluster.model_copy(update={"nodes": None})
    return shape.model_copy(update={"training": training, "cluster": cluster})


def _with_training(base: Workload, stated: dict[str, Any]) -> Workload:
    values = {key: getattr(base, key) for key in base.model_fields_set}
    return validate(
        Workload,
        values | {"training": stated},
        lambda place: f"--{place[1]}: " if len(place) > 1 else "",
        WorkloadError,
    )


def _same_global_batch(base: Workload, replicas: int) -> dict[str, int]:
    """Micro-batch and accumulation with which `replicas` have the global batch of `base`."""
    global_batch, largest = base.training.step_samples, base.training.batch_size
    if global_batch % replicas:
        raise WorkloadError(
            f"a global batch of {global_batch:,} does not divide over {replicas} data-parallel GPUs; give numbers that divide it"
        )
    per_replica = global_batch // replicas
    batch_size = next(b for b in range(min(largest, per_replica), 0, -1) if per_replica % b == 0)
    return {"batch_size": batch_size, "accumulation": per_replica // batch_size}


def judge_bounds(estimate: Estimate, deadline_s: float | None, budget: Budget | None) -> Verdicts:
    """Return whether `estimate` meets each bound.  Raises NotEnoughHistory if its step time is unknown."""
    if (deadline_s is not None or budget is not None) and estimate.step_time.seconds is None:
        bound = "a deadline" if deadline_s is not None else "a budget"
        raise NotEnoughHistory(
            f"{bound} cannot be judged: {why_unknown(estimate.workload, estimate.step_time.source)}"
        )
    spent = estimate.gpu_hours
    if budget and budget.currency and estimate.clock.total:
        if estimate.cost is None or estimate.cost.currency != budget.currency:
            rates = f"its rates are in {estimate.cost.currency}" if estimate.cost else "no rates are known"
            raise WorkloadError(
                f"a budget in {budget.currency} needs a profile with rates in {budget.currency}, and {rates}; "
                'give it as "500 GPU-hours"'
            )
        spent = estimate.cost.amount
    return Verdicts(
        deadline=judge(estimate.clock.total, deadline_s) if deadline_s is not None else None,
        budget=judge(spent, budget.amount) if budget else None,
    )


def judge(amount: Range | None, bound: float) -> Verdict:
    """Return whether an amount is within a bound."""
    if amount is None:  # the run never ends
        return Verdict.NO
    return Verdict.YES if amount.p90 <= bound else Verdict.MAYBE if amount.p50 <= bound else Verdict.NO


def choose_best(estimates: Sequence[Estimate], verdicts: Sequence[Verdicts]) -> int | None:
    """Return the index of the best shape that meets every bound at P90; None if no shape does, or no bound is set.

    Under a deadline the best is the one with the fewest GPU-hours; under a budget alone, the fastest.
    """
    meeting = [i for i, v in enumerate(verdicts) if v.all_met and (v.deadline or v.budget)]
    by_deadline = any(v.deadline for v in verdicts)

    def amount(i: int) -> float:
        quantity = estimates[i].gpu_hours if by_deadline else estimates[i].clock.total
        return quantity.p50 if quantity else float("inf")

    return min(meeting, key=amount, default=None)


def find_knee(estimates: Sequence[Estimate], quantile: str = "p50") -> int | None:
    """Return the index of the largest shape that keeps `WORTHWHILE` of the efficiency of the smallest; None if all do.

    With the quantiles "p10" and "p90" of the rates of all other shapes it may be a smaller and a larger one.  NCI
    Australia asks 75 % of jobs on its machines.  Shapes in several precisions have no knee.
    """
    if len({e.placement.precision for e in estimates}) > 1:
        return None
    smallest = min(estimates, key=lambda e: e.placement.gpus)
    ratios = [_efficiency(smallest, e, quantile) or 0.0 for e in estimates]
    worth = [i for i, ratio in enumerate(ratios) if ratio >= WORTHWHILE]
    if len(worth) == len(estimates):
        return None
    return max(worth, key=lambda i: estimates[i].placement.gpus, default=None)


def speed_up(base: Estimate, other: Estimate) -> float | None:
    """Return the median samples/s of `other` over those of `base`; None for a prior, which does not model scaling."""
    ratio = _efficiency(base, other)
    return None if ratio is None else ratio * other.placement.gpus / base.placement.gpus


def efficiency(estimates: Sequence[Estimate], other: Estimate) -> float | None:
    """Return the median samples/s per GPU of `other` over those of the first estimate in its precision."""
    return _efficiency(
        next(e for e in estimates if e.placement.precision == other.placement.precision), other
    )


def _efficiency(base: Estimate, other: Estimate, quantile: str = "p50") -> float | None:
    """The samples/s per GPU of `other`, at a quantile, over the median ones of `base`."""
    if base.samples_per_s is None or other.samples_per_s is None:
        return None
    if SourceKind.PRIOR in (base.step_time.source.kind, other.step_time.source.kind):
        return None
    rate: float = getattr(other.samples_per_s, "p50" if other is base else quantile)
    return rate / base.samples_per_s.p50 * base.placement.gpus / other.placement.gpus
