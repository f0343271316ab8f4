"""The arithmetic of an estimate, with the numbers put in."""

import math
from collections.abc import Iterator

from ...cluster_profiles.units import format_duration, format_significant, slurm_time
from ...estimator.estimate.estimate import Estimate
from ...estimator.estimate.interruptions import CheckpointInterval, young_daly_s
from ...estimator.estimate.intervals import interval_steps
from ...estimator.estimate.walltime import GRACE_S
from ...estimator.job.flops import flops_per_sample, flops_text
from ...estimator.job.framework import STEP_RULES, Dealing
from ...estimator.memory.states import gigabytes
from ...estimator.ranges import DRAWS
from ...launcher.submission.request import request_of


def explain(estimate: Estimate) -> Iterator[str]:
    """Yield one line per equation; a line without indent is a heading."""
    yield "steps"
    yield from (f"  {line}" for line in _steps(estimate))
    yield "speed"
    yield from (f"  {line}" for line in _speed(estimate))
    yield "memory"
    yield from (f"  {line}" for line in _memory(estimate))
    yield "wall-clock"
    yield from (f"  {line}" for line in _wall_clock(estimate))


def _epoch(estimate: Estimate) -> Iterator[str]:
    """The samples that an epoch trains on."""
    data, generations = estimate.workload.data, estimate.workload.training.generations
    if data.tokens:
        name = "mean_tokens" if data.mean_tokens else "seq_len"
        packed = f" x packing {float(data.packing):g}" if data.packing != 1 else ""
        yield f"samples = ceil({data.tokens:,} tokens / ({data.tokens_per_sample:,} {name}{packed})) = {data.sequences:,}"
    if (data.validation_share or generations > 1) and data.sequences:
        trained = f"{data.sequences:,}"
        if data.validation_share:
            trained = f"({trained} - ceil({float(data.validation_share):g} x {trained}))"
        times = f" x {generations:,} generations, in whole batches" if generations > 1 else ""
        yield f"samples of an epoch = {trained}{times} = {estimate.workload.epoch_samples:,}"


def _batch(estimate: Estimate) -> Iterator[str]:
    """The samples of one step."""
    t, tokens = estimate.workload.training, estimate.workload.data.tokens_per_sample
    b, w, g = t.batch_size, t.data_parallel, t.accumulation
    if t.model_parallel > 1:
        split = " x ".join(
            f"{size} {name}"
            for name, size in (
                ("tensor", t.tensor_parallel),
                ("pipeline", t.pipeline_parallel),
                ("context", t.context_parallel),
                ("sequence", t.sequence_parallel),
            )
            if size > 1
        )
        yield f"data parallel = {t.gpus:,} GPUs / ({split}) = {w:,}"
    if t.batch_tokens:
        yield f"micro-batch = floor({t.batch_tokens:,} tokens / {tokens:,} per sample) = {b:,} samples, an estimate"
    if t.global_batch_tokens:
        yield f"global batch = {t.global_batch_tokens:,} tokens / {tokens:,} per sample = {t.global_batch:,}"
    if "accumulation" not in t.model_fields_set and t.global_batch:
        yield f"accumulation = {t.global_batch:,} global batch / ({b:,} micro-batch x {w:,} data parallel) = {g:,}"
    yield f"global batch = {b:,} micro-batch x {w:,} data parallel x {g:,} accumulation = {t.step_samples:,} samples"


def _steps(estimate: Estimate) -> Iterator[str]:
    t, steps, n = estimate.workload.training, estimate.steps, estimate.workload.epoch_samples
    yield from _epoch(estimate)
    yield from _batch(estimate)
    rule = STEP_RULES[steps.convention]
    yield f"counted by the rule of {rule.name}: {rule.total.rule}"
    if t.repeats_data:
        yield f"steps = max_steps = {steps.total:,}; the data begin again until then"
    elif t.max_steps is not None:
        yield f"max_steps is set to {t.max_steps:,}"
    if t.batch_rampup:
        yield from _rampup(estimate, t.batch_rampup)
        return
    if n is None or steps.batches is None:
        yield f"samples = {steps.total:,} steps x {t.step_samples:,} = {steps.samples:,}"
        return
    if rule.dealing is not Dealing.STREAM:
        yield f"batches per replica and epoch = {_batches(estimate, n)} = {steps.batches:,}"
    formula = rule.total.formula.format(
        samples=n,
        batches=steps.batches,
        step_samples=t.step_samples,
        accumulation=t.accumulation,
        epochs="1 epoch" if t.epochs == 1 else f"{float(t.epochs):g} epochs",
    )
    if not t.repeats_data:
        yield f"steps = {formula if t.max_steps is None else 'as limited by max_steps'} = {steps.total:,}"
    rest = (
        f" + {steps.total - steps.full:,} partial of {steps.last_partial_samples:,} samples"
        if steps.total > steps.full
        else ""
    )
    yield f"{steps.full:,} full{rest}; {steps.dropped_samples:,} of {int(n * t.epochs):,} samples are dropped"
    yield from _intervals(estimate)


def _rampup(estimate: Estimate, rampup: tuple[int, int, int]) -> Iterator[str]:
    t, steps = estimate.workload.training, estimate.steps
    start, increment, over = rampup
    consumed = steps.samples - steps.full * t.step_samples
    yield (
        f"batch ramp-up: {start:,} + {increment:,} x floor(samples so far / ({over:,} / "
        f"{(t.step_samples - start) // increment:,} increments)) = {steps.rampup:,} steps of {consumed:,} samples"
    )
    yield f"steps = {steps.rampup:,} + {steps.full:,} of {t.step_samples:,} samples = {steps.total:,}"


def _intervals(estimate: Estimate) -> Iterator[str]:
    """The intervals that are not stated in steps."""
    workload, steps = estimate.workload, estimate.steps
    for name, pause in (("evaluation", workload.evaluation), ("checkpoint", workload.checkpoint)):
        interval = interval_steps(pause, workload, steps)
        if pause.every_epochs is not None:
            epochs = "epoch" if pause.every_epochs == 1 else f"{pause.every_epochs:g} epochs"
            yield f"{name} every {epochs} = {interval:,} steps"
        elif isinstance(pause.every_steps, float):
            yield f"{name} every ceil({pause.every_steps:g} x {steps.total:,} steps) = {interval:,} steps"


def _batches(estimate: Estimate, n: int) -> str:
    t = estimate.workload.training
    b, w = t.batch_size, t.data_parallel
    rule = STEP_RULES[estimate.steps.convention]
    if rule.deals_to_every_gpu and t.sequence_parallel > 1:
        rounding = "floor" if t.drop_last else "ceil"
        return f"{t.sequence_parallel} sequence parallel x {rounding}({n:,} / ({b:,} x {w * t.sequence_parallel:,} GPUs))"
    if rule.dealing is Dealing.BATCHES:
        return f"{'floor' if t.drop_last else 'ceil'}({n:,} / ({b:,} x {w:,}))"
    inner = f"{'floor' if t.sampler_drop_last else 'ceil'}({n:,} / {w:,})"
    return f"{'floor' if t.drop_last else 'ceil'}({inner} / {b:,})"


def _speed(estimate: Estimate) -> Iterator[str]:
    step, source = estimate.step_time.seconds, estimate.step_time.source
    yield f"{source.kind}: {source.text}"
    if step is None or estimate.samples_per_s is None:
        return
    t, placement = estimate.workload.training, estimate.placement
    yield (
        f"step time = {t.step_samples:,} samples / {format_significant(estimate.samples_per_s.p50, 4)} samples/s = "
        f"{format_significant(step.p50, 4)} s (P10 {format_significant(step.p10, 4)}, P90 {format_significant(step.p90, 4)})"
    )
    if parts := estimate.step_time.parts:
        shares = {"compute": parts.compute_s, "network": parts.network_s, "input": parts.input_s}
        text = " + ".join(f"{format_significant(seconds)} s {name}" for name, seconds in shares.items())
        yield f"its parts are {text}: {parts.compute_s / sum(shares.values()):.0%} of a step computes"
    flops = flops_per_sample(estimate.workload)
    if flops is not None:
        per_gpu = flops * t.step_samples / placement.gpus / step.p50 / 1e12
        line = f"{flops_text(estimate.workload, 0)}: {format_significant(flops / 1e12)} TFLOP per sample, {format_significant(per_gpu)} TFLOP/s per GPU"
        if placement.gpu is not None and placement.precision in placement.gpu.peak_flops:
            peak = placement.gpu.peak_flops[placement.precision] / 1e12
            line += f", {per_gpu / peak:.1%} of the {peak:g} dense {placement.precision} TFLOP/s of {placement.gpu.name}"
        yield line


def _memory(estimate: Estimate) -> Iterator[str]:
    memory, gpu = estimate.memory, estimate.placement.gpu
    yield f"{memory.source.kind}: {memory.source.text}"
    if memory.peak_bytes:
        capacity = f" of {gpu.memory_bytes / 1e9:g} GB" if gpu else ""
        yield f"peak at micro-batch {estimate.workload.training.batch_size:,} = {gigabytes(memory.peak_bytes)} GB per GPU{capacity}"


def _training(estimate: Estimate) -> str:
    steps, g = estimate.steps, estimate.workload.training.accumulation
    if steps.micro_batches == steps.total * g:
        return f"{steps.total:,} steps"
    return f"{steps.micro_batches:,} micro-batches / {g:,} per step"


def _wall_clock(estimate: Estimate) -> Iterator[str]:
    clock, step = estimate.clock, estimate.step_time.seconds
    if step is None:
        yield "unknown, because the step time is"
        return
    for name, part in clock.parts.items():
        seconds = format_duration(part.seconds.p50) if part.seconds else "unknown"
        equation = (
            f" = {_training(estimate)} x {format_significant(step.p50, 4)} s" if name == "training" else ""
        )
        yield f"{name}{equation} = {seconds} at P50 ({part.source.kind}: {part.source.text})"
    if clock.total is None or clock.p95 is None:
        yield "total: never, no job makes progress under the limit"
        return
    yield (
        f"total, from {DRAWS:,} draws of all parts together = {format_duration(clock.total.p50)} "
        f"(P10 {format_duration(clock.total.p10)}, P90 {format_duration(clock.total.p90)}, P95 {format_duration(clock.p95)})"
    )
    if best := clock.checkpoint_interval:
        yield f"best checkpoint interval = {_interval(best)} = {format_duration(best.seconds)} = {best.steps:,} steps"
    request = request_of(estimate)
    if request.time and clock.segments:
        grace = format_duration(GRACE_S)
        if clock.segments > 1:
            yield f"--time={request.time}, the partition's limit: P95 and {grace} of grace per job need {clock.segments:,} jobs"
        else:
            p95, grace = slurm_time(clock.p95), slurm_time(GRACE_S)
            yield f"--time={request.time}: P95 {p95} + {grace} of grace, rounded up"


def _interval(best: CheckpointInterval) -> str:
    if math.isinf(best.between_interruptions_s):
        return "the whole training, as no interruption is expected"
    c, m, r = map(format_duration, (best.write_s, best.between_interruptions_s, best.restart_s))
    if best.seconds < young_daly_s(best.write_s, best.between_interruptions_s, best.restart_s):
        return "half of what a job under the limit trains, so that each job reaches a checkpoint"
    if best.seconds == best.between_interruptions_s:
        return f"the mean time between interruptions, as a save of {c} takes twice that or more"
    return f"sqrt(2 x {c} x ({m} + {r})) - {c}"


def step_text(estimate: Estimate) -> str:
    """Return the kinds of steps: `3,906 full + 1 partial of 64 samples (Hugging Face Trainer ...)`."""
    steps = estimate.steps
    text = f"{steps.full:,} full"
    if steps.rampup:
        text += f" + {steps.rampup:,} in the batch ramp-up"
    elif partial := steps.total - steps.full:
        text += f" + {partial:,} partial of {steps.last_partial_samples:,} samples"
    if steps.dropped_samples is None:
        text += f", {steps.samples:,} samples"
    elif steps.dropped_samples:
        text += f", {steps.dropped_samples:,} samples dropped"
    return f"{text} ({STEP_RULES[steps.convention].name}){_length_text(estimate)}"


def _length_text(estimate: Estimate) -> str:
    """The tokens per sample, where they are stated: `8k` is shown as 8,192."""
    longest, mean = estimate.workload.data.seq_len, estimate.workload.data.mean_tokens
    if longest and mean:
        return f"; samples of {mean:,} tokens in the mean, {longest:,} at most"
    return f"; samples of {longest or mean:,} tokens" if longest or mean else ""
