"""Advice on the size of a job, and on counts that are stated: the steps that a trainer reports, and a global batch."""

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

from pydantic import ValidationError

from ...cluster_profiles.units import HOUR_S, format_count, format_significant, plural
from ...errors import WorkloadError
from ..job.framework import STEP_RULES, Dealing, Framework
from ..job.workload import Workload
from .case import Advice, Case
from .steps import StepCount, count_steps

# In words, with the keys of `training` that it changes, or another `data`.
Reason = tuple[str, dict[str, object]]
_LARGE_GPU_HOURS = 1000.0  # from which a false start is worth a few per cent more; our judgement
_MOST_BY_RAMP_UP = 1.25  # times the steps: BLOOM's ramp-up made 1.07
_MOST_BY_PACKING = 0.9  # times the steps: more is no padding saved, but rounding
_MOST_REASONS = 3  # in one line
_MOST_HELD_OUT_PERCENT = 30
_MOST_HELD_OUT_BESIDE_PERCENT = (
    10  # beside another reason: ms-swift holds out 1 % unasked, Axolotl's examples 5 %
)


def advise_on_size(case: Case) -> Iterator[Advice]:
    """Advise on a job that is so large that a mistake in it is dear: MoE-LLaVA#28 was told to begin with 1 M of 30 M samples."""
    total = case.clock.total
    hours = total.p50 * case.placement.gpus / HOUR_S if total else 0.0
    if hours >= _LARGE_GPU_HOURS:
        yield Advice(
            "try-small-first",
            f"{format_count(hours)} GPU-hours: --progressive runs 1 % and 3 % of the steps first, and the rest if the loss falls",
            hours,
        )


def advise_on_stated_counts(case: Case) -> Iterator[Advice]:
    """Advise on a number of steps or a global batch that is stated, and differs from the count."""
    training = case.workload.training
    reported = training.trainer_steps
    if reported is not None and reported != case.steps.total:
        yield Advice(
            "trainer-steps",
            f"your trainer reports {plural(reported, 'step')}, {_why_other_steps(case, reported)}",
        )
    stated = training.global_batch
    if stated is not None and stated != training.step_samples:
        product = f"{training.batch_size} x {training.data_parallel} x {training.accumulation}"
        rule = STEP_RULES[training.framework]
        stops = f"; the {rule.name} stops with an error" if rule.checks_global_batch else ""
        yield Advice(
            "batch-identity",
            f"global batch {stated:,} is not micro-batch x data parallel x accumulation = {product} = "
            f"{training.step_samples:,}{stops}",
        )


def _why_other_steps(case: Case, reported: int) -> str:
    """The count, and the reason why the trainer may report another one."""
    training, total = case.workload.training, format_count(case.steps.total)
    if training.max_steps is not None:
        return (
            f"max_steps {format_count(training.max_steps)} gives {total}: does the trainer have that setting?"
        )
    for framework in Framework:
        for drop_last in (False, True):
            other = count_with(case, framework=framework, drop_last=drop_last)
            if other and other.total == reported:
                rule = f"--framework {framework}{' --drop-last' if drop_last else ''}"
                return f"your numbers give {total}: it rounds in another way, as {rule} does"
    effective = format_significant(case.steps.samples / reported)
    batch = (
        f"it runs a global batch of {effective}, not {format_count(training.step_samples)}: does it have this batch size "
        "and accumulation?"
    )
    if question := _counted_question(case, reported):
        if "counts micro-batches" not in question:
            question = f"{question} If not, {batch}"
        return f"your numbers give {total}; {question}"
    ratio = reported / max(case.steps.total, 1)
    by_ratio = ", or ".join(_reasons_by_ratio(case, reported, ratio))
    more = (
        f"no whole number of epochs, generations or GPUs explains {format_significant(ratio)} times as many: "
    )
    return f"your numbers give {total}; {more if ratio > 1 else ''}{f'{by_ratio}? If not, ' if by_ratio else ''}{batch}"


def _counted_question(case: Case, reported: int) -> str | None:
    """Ask for the reasons that make the reported steps, alone or beside samples that are held out; None without one."""
    reasons = dict(_counted_reasons(case, reported))
    if fitting := _fitting_reasons(case, reasons, reported):
        return f"{', or '.join(fitting)}?"
    for percent in range(1, _MOST_HELD_OUT_BESIDE_PERCENT + 1):
        held_out, data = _hold_out(case, percent)
        both = {text: changes | data for text, changes in reasons.items() if "data" not in changes}
        if fitting := _fitting_reasons(case, both, reported):
            return f"{', or '.join(fitting)}, and {held_out}?"
    return None


def _fitting_reasons(case: Case, reasons: Mapping[str, dict[str, object]], reported: int) -> list[str]:
    """The first reasons that make the reported steps exactly, otherwise those that nearly do."""
    counted = {text: count_with(case, **changes) for text, changes in reasons.items()}
    for tolerance in (0.0, max(1.0, reported / 1000)):  # a step, or a rounding of each epoch
        near = [text for text, steps in counted.items() if steps and abs(steps.total - reported) <= tolerance]
        if near:
            return near[:_MOST_REASONS]
    return []


def _counted_reasons(case: Case, reported: int) -> Iterator[Reason]:
    """The reasons that make a certain number of steps, the most likely first."""
    training, placement = case.workload.training, case.placement
    ratio = reported / max(case.steps.total, 1)
    if training.accumulation > 1:
        text = f"it counts micro-batches: does it have accumulation {training.accumulation:,}"
        yield text, {"accumulation": 1}
    elif training.global_batch is None and (micro_batches := round(1 / ratio) if ratio else 0) > 1:
        text = f"does it accumulate {micro_batches:,} micro-batches (accumulation {micro_batches:,})"
        yield text, {"accumulation": micro_batches}
    share, rest = divmod(training.gpus, max(round(ratio), 1))
    # With a global batch stated, fewer GPUs in the group would accumulate more.
    fewer: dict[str, object] = {"gpus": share, "accumulation": training.accumulation}
    if not rest and share in {training.model_parallel, placement.gpus_per_node, placement.nodes}:
        yield f"are all {training.gpus:,} GPUs in one process group", fewer
    epochs, each = round(training.epochs * Fraction(ratio)), round(training.generations * ratio)
    passes: Reason = (f"does it train for {plural(epochs, 'epoch')} (epochs {epochs:,})", {"epochs": epochs})
    completions: Reason = (
        f"does it make {each:,} completions per prompt (generations {each:,})",
        {"generations": each},
    )
    if training.epochs == 1 != epochs:
        yield passes
    if each > 1:
        yield completions
    if not rest and training.gpus // share not in (1, training.accumulation):
        gpus = training.model_parallel * training.gpus // share
        yield f"do {gpus:,} GPUs hold one copy of the model (tensor_parallel, sequence_parallel)", fewer
    if epochs != training.epochs != 1:  # whose number is stated, and so was seen to
        yield passes
    held_out = 100 * (1 - ratio)
    for percent in (math.floor(held_out), math.ceil(held_out)):
        if 0 < percent <= _MOST_HELD_OUT_PERCENT:
            yield _hold_out(case, percent)


def _hold_out(case: Case, percent: int) -> Reason:
    share = Fraction(percent, 100)
    data = case.workload.data.model_copy(update={"validation_share": share})
    return f"does it hold out {percent} % for validation (validation_share {float(share):g})", {"data": data}


def _reasons_by_ratio(case: Case, reported: int, ratio: float) -> Iterator[str]:
    """The reasons that make any number of steps within limits."""
    training = case.workload.training
    streams = STEP_RULES[training.framework].dealing is Dealing.STREAM
    if streams and not training.batch_rampup and 1 < ratio < _MOST_BY_RAMP_UP:
        yield "has it a batch ramp-up (batch_rampup)"
    if ratio < _MOST_BY_PACKING:
        yield "are its samples packed (packing)"
    if reported % 100 == 0:
        yield f"has it max_steps {reported:,}"


def count_with(case: Case, **changes: object) -> StepCount | None:
    """Return the count with other keys of `training`, or another `data`; None if they contradict each other or leave no batch."""
    workload = case.workload
    data = changes.pop("data", workload.data)
    values = workload.training.stated_values() | changes
    try:
        return count_steps(Workload.model_validate({"data": data, "training": values}))
    except (ValidationError, WorkloadError):
        return None
