"""The step time of a job: by its stated throughput, by runs of its model, or by its FLOPs, in this order."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ...cluster_profiles.gpu import Gpu, may_be_same_gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant, plural
from ..job.flops import (
    CAUSAL_SHARE,
    attention_text,
    fastest_step_s,
    flops_per_sample_at,
    flops_text,
    step_s_at_peak,
    without_recomputation,
)
from ..job.given import STATED_RATES
from ..job.placement import Placement, shape_of_job, shape_of_stated_rate
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import (
    GUESSED_ATTENTION,
    MFU,
    MFU_MOE,
    RECOMPUTING_FASTEST,
    STATED_SPREAD,
)
from ..ranges import Range
from .costs import beside_flops_s
from .source import Source, SourceKind, StepTime, unknown_step_time

_TERA = 1e12
_CLEAR_SHARE = 0.1  # of the time, from which on a part of it is named
_UNITS = {
    "samples_per_s": "samples/s",
    "samples_per_s_per_gpu": "samples/s per GPU",
    "tokens_per_s": "tokens/s",
    "tokens_per_s_per_gpu": "tokens/s per GPU",
    "step_time": "s per step",
    "micro_batch_time": "s per micro-batch",
    "tflops_per_gpu": "TFLOP/s per GPU",
}


def estimate_step_time(
    workload: Workload,
    placement: Placement,
    measurements: Sequence[Measurement] = (),
    now: datetime | None = None,
) -> StepTime:
    """Return the step time of `workload` as placed, with its source.

    A stated rate wins, then runs of the job's model, then a prior by its FLOPs.  `now` dates the runs.
    """
    if has_stated_rate(workload):
        return _by_stated_rate(workload, placement, measurements)
    measured = None
    if any(m.model == workload.model for m in measurements):
        from .measured import measured_step_time  # noqa: PLC0415  numpy, where nothing was measured

        measured = measured_step_time(workload, placement, measurements, now)
    if measured and measured.seconds:
        return measured
    return _by_flops(workload, placement, measured.source.text if measured else "nothing given or measured")


def has_stated_rate(workload: Workload) -> bool:
    """Return whether the job file or the flags state a throughput or a step time."""
    return any(getattr(workload.throughput, name) is not None for name in STATED_RATES)


def _by_stated_rate(
    workload: Workload, placement: Placement, measurements: Sequence[Measurement]
) -> StepTime:
    """The rate in the job file or the flags, carried over if it belongs to another shape."""
    rate, gpu_type = workload.throughput, placement.gpu_type
    if rate.gpu and gpu_type and not may_be_same_gpu(gpu_type, rate.gpu):
        return unknown_step_time(
            f"given on {rate.gpu}; that does not tell the speed of {gpu_type}: give a rate measured on it"
        )
    shape = shape_of_stated_rate(workload, placement)
    step, text = _stated_step_time(workload, shape, placement.gpu)
    if step is None:
        return unknown_step_time(text)
    spread = f"±{rate.spread or STATED_SPREAD:.0%}{'' if rate.spread else ' assumed'}"
    precision = "" if shape.precision is Precision.AUTO else f" in {shape.precision}"
    origin = f"{text} on {plural(shape.gpus, 'GPU')}{precision}, {spread}"
    step = step.times(Range.around(1, rate.spread or STATED_SPREAD))
    job_shape = replace(shape_of_job(workload, placement), seq_len=workload.data.tokens_per_sample)
    if shape == job_shape:
        return StepTime(step, Source(SourceKind.GIVEN, origin))
    architecture = workload.architecture
    run = Measurement(
        workload.model or "",
        **vars(shape),
        step_time_s=step.p50,
        spread=math.sqrt(step.p90 / step.p10) - 1,
        parameters=architecture.parameters,
        active_parameters=architecture.active_parameters,
        trainable_parameters=architecture.trainable_parameters,
        cluster=placement.cluster,
        source=origin,
    )
    from .measured import carried_step_time  # noqa: PLC0415  numpy, where a rate is that of the job's shape

    others = [m for m in measurements if m.model != run.model]
    return carried_step_time(workload, placement, run, job_shape, others)


def _stated_step_time(workload: Workload, shape: Shape, gpu: Gpu | None) -> tuple[Range | None, str]:
    """The seconds of a step in `shape`, and the rate in the unit in which it was stated; or None and why."""
    rate = workload.throughput
    name = next(name for name in STATED_RATES if getattr(rate, name) is not None)
    value = float(getattr(rate, name))
    if name == "mfu":
        return _by_mfu(workload, shape, gpu, value)
    text = f"{format_significant(value)} {_UNITS[name]}"
    if name == "tflops_per_gpu":
        return _by_flops_per_s(workload, shape, value * _TERA, text)
    per_gpu = value / (1 if name.endswith("_per_gpu") else shape.gpus)
    tokens = (shape.seq_len or 1) if name.startswith("tokens") else 1
    seconds = {"step_time": value, "micro_batch_time": value * shape.accumulation}.get(
        name, shape.step_samples * tokens / (per_gpu * shape.gpus)
    )
    return Range.exactly(seconds), text


def _by_mfu(workload: Workload, shape: Shape, gpu: Gpu | None, mfu: float) -> tuple[Range | None, str]:
    """The seconds of a step in `shape` by its MFU, for which no recomputation counts."""
    if gpu is None:
        unknown = f", and that of {shape.gpu} is not known: give tflops_per_gpu or step_time"
        return None, f"mfu is a share of a GPU's peak{unknown if shape.gpu else ': add --gpu'}"
    if shape.precision not in gpu.peak_flops:
        return None, f"{shape.precision} has no native rate on {gpu.name}, so mfu tells no speed"
    peak = gpu.peak_flops[shape.precision]
    text = f"{mfu * 100:.3g}% MFU"
    return _by_flops_per_s(without_recomputation(workload), shape, mfu * peak, text)


def _by_flops_per_s(
    workload: Workload, shape: Shape, flops_per_s_per_gpu: float, text: str
) -> tuple[Range, str]:
    """The seconds of a step in `shape` by the FLOP/s of one GPU, and `text` with the share of attention.

    Reports count both halves of a causal mask (PaLM, llm-foundry, torchtitan), or one, as Megatron-LM has since 2025.
    """
    architecture, tokens = workload.architecture, shape.seq_len or 1
    is_stated = architecture.layers and architecture.hidden
    attention = Range.exactly(1) if is_stated else GUESSED_ATTENTION
    low, middle, high = (
        flops_per_sample_at(workload, tokens, x) or math.inf
        for x in (attention.p10 * CAUSAL_SHARE, attention.p50, attention.p90)
    )
    seconds = Range(low, middle, high).scaled(shape.step_samples / (flops_per_s_per_gpu * shape.gpus))
    share = attention_text(workload)
    return seconds, f"{text}, {share}," if share else text


def _by_flops(workload: Workload, placement: Placement, why_no_rate: str) -> StepTime:
    """FLOPs of the step over the GPUs' peak times a published range of MFU; unknown where one of these is missing."""
    fastest = fastest_step_s(workload, placement)
    if fastest is None:
        needs = {
            "--parameters": workload.architecture.flops_parameters,
            "--seq-len": workload.data.tokens_per_sample,
            "a GPU type of the catalogue" if placement.gpu_type else "--gpu": placement.gpu,
        }
        missing = [flag for flag, value in needs.items() if not value]
        if not missing:
            gpu = placement.gpu.name if placement.gpu else ""
            return unknown_step_time(f"{placement.precision} has no native rate on {gpu}")
        return unknown_step_time(f"{why_no_rate}; a rough prior needs {', '.join(missing)}")
    table = MFU_MOE if workload.architecture.active_parameters else MFU
    mfu, by_convention = table[placement.precision], step_s_at_peak(workload, placement) or fastest
    if workload.training.recompute is True:
        mfu = Range(mfu.p10, mfu.p50, mfu.p90 * RECOMPUTING_FASTEST)
    gpu = placement.gpu.name if placement.gpu else ""
    text = f"{flops_text(workload)} at {mfu.p10:.0%} to {mfu.p90:.0%} of {gpu}'s {placement.precision} peak"
    # MFU counts both halves of a causal attention matrix; a kernel that skips one does half of that work.
    seconds = Range(fastest / mfu.p90, by_convention / mfu.p50, by_convention / mfu.p10)
    beside = beside_flops_s(workload, placement.gpu).scaled(workload.training.accumulation)
    if beside.p90 > _CLEAR_SHARE * seconds.p90:
        each = beside.scaled(1000 / workload.training.accumulation)
        what = "starting its layers" + (" and dequantising" if workload.architecture.base_bits else "")
        low, high = (format_significant(x, 2) for x in (each.p10, each.p90))
        text = f"{text}, and {low} to {high} ms per micro-batch for {what}"
    return StepTime(seconds.plus(beside), Source(SourceKind.PRIOR, text))
