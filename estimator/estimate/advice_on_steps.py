"""Advice on steps: batches, partial batches, checkpoints, evaluations."""

import math
from collections.abc import Iterator

from ...cluster_profiles.units import (
    MINUTE_S,
    ceil_div,
    format_count,
    format_duration,
    plural,
)
from ..job.framework import STEP_RULES, Dealing, Framework
from ..step_time.source import SourceKind
from .advice_on_counts import count_with
from .case import Advice, Case
from .interruptions import CheckpointInterval
from .intervals import count_evaluations, interval_steps
from .pauses import evaluated_samples

_CLEAR_SHARE = 0.05  # of the training time, from which pauses that count twice are worth a line
_PARTIAL_SHARE = 0.5  # of the batch, from which a partial step is worth no line; our judgement


def advise_on_data(case: Case) -> Iterator[Advice]:
    """Advise on samples that do not fill a batch, on epochs that do not end, and on data that end before the steps."""
    steps, training = case.steps, case.workload.training
    samples, batch = case.workload.epoch_samples, training.step_samples
    if samples is None:
        return
    yield from _advise_on_end_of_data(case)
    yield from _advise_on_token_budget(case)
    yield from _advise_on_mean_tokens(case)
    if samples < batch:
        nothing = "training has no step: " if not steps.total else ""
        yield Advice(
            "below-one-batch", f"{nothing}{samples:,} samples are fewer than one global batch of {batch:,}"
        )
    elif 0 < steps.last_partial_samples <= _PARTIAL_SHARE * batch:
        each = "the last step of each epoch" if training.epochs > 1 else "the last step"
        yield Advice(
            "partial-batch",
            f"{each} holds {steps.last_partial_samples:,} of {batch:,} samples{_partial(case)}"
            f"{'; drop_last leaves it out' if _drop_last_helps(case) else ''}",
        )
    if training.framework is Framework.HF_4_51 and training.max_steps is None:
        later = count_with(case, framework=Framework.HF)  # drops with drop_last what this one does
        if later and (missed := (steps.dropped_samples or 0) - (later.dropped_samples or 0)) > 0:
            yield Advice(
                "ends-early",
                f"{missed:,} of {int(samples * training.epochs):,} samples are left out: Trainer <= 4.51 rounds down "
                "and ends early; 4.52 and later do not",
            )


def _advise_on_token_budget(case: Case) -> Iterator[Advice]:
    training = case.workload.training
    if training.batch_tokens:
        yield Advice(
            "token-budget",
            f"{training.batch_tokens:,} tokens hold about {plural(training.batch_size, 'sample')} of "
            f"{case.workload.data.tokens_per_sample:,} tokens, so the steps are an estimate: the trainer fills each batch by the "
            "lengths of its samples",
        )


def _advise_on_end_of_data(case: Case) -> Iterator[Advice]:
    training, rule = case.workload.training, STEP_RULES[case.workload.training.framework]
    of_data = count_with(case, max_steps=None)
    if (
        training.max_steps is None
        or rule.max_steps_wins
        or not of_data
        or of_data.total >= training.max_steps
    ):
        return
    end, stated = format_count(of_data.total), format_count(training.max_steps)
    if training.repeats_data:
        text = (
            f"the data end at step {end}, before max_steps {stated}: counted as a loop that begins them again; "
            "state epochs = 1 if yours ends with them"
        )
    else:
        enough = training.max_steps * training.epochs / max(of_data.total, 1)
        text = (
            f"the data end at step {end}, before max_steps {stated}, and the {rule.name} loop stops at the first of both: "
            f"state epochs = {ceil_div(enough.numerator, enough.denominator):,}, or leave epochs out"
        )
    yield Advice("data-end-first", text)


def _advise_on_mean_tokens(case: Case) -> Iterator[Advice]:
    """A length that may be the longest, in a time by FLOPs."""
    data, rule = case.workload.data, STEP_RULES[case.workload.training.framework]
    by_flops = case.step_time.source.kind is SourceKind.PRIOR
    if (
        by_flops
        and data.samples
        and data.seq_len
        and not data.mean_tokens
        and rule.dealing is not Dealing.STREAM
    ):
        yield Advice(
            "mean-tokens",
            f"the time counts {data.seq_len:,} tokens in every sample: if they differ in length, set data.mean_tokens",
        )


def _partial(case: Case) -> str:
    training = case.workload.training
    filled_up = STEP_RULES[training.framework].dealing is Dealing.BATCHES
    if filled_up and training.data_parallel > 1 and training.accumulation == 1:
        return ", filled up by Accelerate"
    return ": a noisier gradient"


def _drop_last_helps(case: Case) -> bool:
    if case.workload.training.drop_last:
        return False
    dropping = count_with(case, drop_last=True)
    return dropping is not None and not dropping.last_partial_samples


def advise_on_checkpoints(case: Case) -> Iterator[Advice]:
    """Advise on checkpoints that come too late, and on the interval that loses least."""
    every, total = case.checkpoint_steps, case.steps.total
    step, limit, best = case.step_time.seconds, case.placement.limit_s, case.clock.checkpoint_interval
    end_is_enough = best is not None and step is not None and 0 < total <= best.steps
    if every == 0:
        yield Advice("no-checkpoint", "no checkpoint is written: a job that is stopped loses all its work")
    elif every is not None and every > total:
        effect = (
            f"the only one is that at the end, which is enough here ({_why_best(best)})"
            if end_is_enough and best
            else "no checkpoint is written before the end, so that a time limit loses all work"
        )
        yield Advice(
            "checkpoint-beyond-end",
            f"a checkpoint every {every:,} steps is beyond the end at {total:,}: {effect}",
        )
        if end_is_enough:
            return
    elif every is not None and step and limit and every * step.p50 > limit:
        yield Advice(
            "checkpoint-beyond-limit",
            f"a checkpoint every {every:,} steps is every {format_duration(every * step.p50)}, longer than the limit of "
            f"{format_duration(limit)}: no job would reach a checkpoint",
        )
    if best and step and total:
        what = (
            "one checkpoint at the end is enough"
            if end_is_enough
            else f"every {plural(best.steps, 'step')} ({format_duration(best.seconds)}) loses least"
        )
        yield Advice("checkpoint-interval", f"{what} ({_why_best(best)})")


def _why_best(best: CheckpointInterval) -> str:
    if best.between_interruptions_s == math.inf:
        return "Young/Daly: no failures are expected"
    return (
        f"Young/Daly: a save of {format_duration(best.write_s)}, one interruption in "
        f"{format_duration(best.between_interruptions_s)}"
    )


def advise_on_evaluation(case: Case) -> Iterator[Advice]:
    """Advise on evaluations of unknown length, and on a job without one that could confirm a plateau."""
    if "evaluation" in case.workload.throughput.includes:
        return
    every = interval_steps(case.workload.evaluation, case.workload, case.steps)
    if not every:
        stated = "no evaluation is stated" if every is None else "no evaluation runs"
        yield Advice(
            "no-evaluation",
            f"{stated}, so nothing can confirm a plateau of the loss: set evaluation.every_steps",
        )
    elif every > case.steps.total:
        yield Advice(
            "evaluation-beyond-end",
            f"an evaluation every {every:,} steps is beyond the end at {case.steps.total:,}",
        )
    else:
        yield from _untimed(case)
        yield from _pauses_in_rate(case)


def _untimed(case: Case) -> Iterator[Advice]:
    """Evaluations whose number is known, and whose length is not."""
    stated, source = case.workload.evaluation, case.clock.parts["evaluation"].source
    times = count_evaluations(case.workload, case.steps)
    if (
        times
        and stated.time_s is None
        and evaluated_samples(case.workload) is None
        and source.kind is not SourceKind.MEASURED
    ):
        yield Advice(
            "evaluation-length",
            f"{plural(times, 'evaluation')} of unknown length: each minute of one adds {format_duration(times * MINUTE_S)}, "
            "and one that generates text may take longer than the training before it; set evaluation.time_s or "
            "evaluation.samples",
        )


def _pauses_in_rate(case: Case) -> Iterator[Advice]:
    """A rate that a trainer may have averaged over the evaluations of a whole run."""
    parts, rate = case.clock.parts, case.workload.throughput
    training_s, evaluation_s = parts["training"].seconds, parts["evaluation"].seconds
    is_trainer = STEP_RULES[case.workload.training.framework].is_trainer
    if not (training_s and evaluation_s and rate.samples_per_s and is_trainer):
        return
    if case.workload.evaluation.has_interval and evaluation_s.p50 > _CLEAR_SHARE * training_s.p50:
        yield Advice(
            "pauses-in-rate",
            f"evaluation adds {format_duration(evaluation_s.p50)}; the train_samples_per_second of a whole run holds it "
            'already: for such a rate set throughput.includes = ["evaluation", "checkpoints"]',
        )
