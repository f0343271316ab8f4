"""The step time of a job: by its stated throughput, by runs of its model, or by its FLOPs, in this order."""

import math
from collections.abc import Sequence
from datetime import datetime

from ...cluster_profiles.gpu import may_be_same_gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant, plural
from ..job.flops import (
    attention_text,
    fastest_step_s,
    flops_per_sample_at,
    flops_text,
    step_s_at_peak,
)
from ..job.given import STATED_RATES
from ..job.placement import Placement, shape_of_job, shape_of_stated_rate
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import GUESSED_ATTENTION, MFU, MFU_MOE, STATED_SPREAD
from ..ranges import Range
from .ratios import rate_ratio, work_ratio
from .source import Source, SourceKind, StepTime, unknown_step_time

_TERA = 1e12


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
        return _by_stated_rate(workload, placement)
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


def _by_stated_rate(workload: Workload, placement: Placement) -> StepTime:
    """The rate in the job file or the flags, carried over if it belongs to another shape."""
    rate, training, gpu_type = workload.throughput, workload.training, placement.gpu_type
    if rate.gpu and gpu_type and not may_be_same_gpu(gpu_type, rate.gpu):
        return unknown_step_time(
            f"given on {rate.gpu}; that does not tell the speed of {gpu_type}: give a rate measured on it"
        )
    if rate.model_parallel and rate.model_parallel != training.model_parallel:
        before, after = (plural(n, "GPU") for n in (rate.model_parallel, training.model_parallel))
        return unknown_step_time(
            f"given with {before} per replica; that does not tell the speed with {after}: give a rate measured with {after}"
        )
    job_shape, rate_shape = shape_of_job(workload, placement), shape_of_stated_rate(workload, placement)
    work = None
    if rate_shape.seq_len and job_shape.seq_len and rate_shape.seq_len != job_shape.seq_len:
        work = work_ratio(workload, rate_shape.seq_len, job_shape.seq_len)
    ratio = rate_ratio(rate_shape, job_shape, placement.gpu, work)
    if ratio is None and rate_shape.precision is Precision.AUTO:
        return unknown_step_time(
            "neither the precision of the given rate nor the GPU type is stated; set throughput.precision"
        )
    if ratio is None:
        return unknown_step_time(
            f"given in {rate_shape.precision}; no published ratio tells the speed in {placement.precision}: "
            f"give a rate measured in {placement.precision}"
        )
    samples_per_s, text = _stated_rate(workload, rate_shape)
    spread = f"±{rate.spread or STATED_SPREAD:.0%}{'' if rate.spread else ' assumed'}"
    precision = "" if rate_shape.precision is Precision.AUTO else f" in {rate_shape.precision}"
    origin = f"{text} on {plural(rate_shape.gpus, 'GPU')}{precision}, {spread}"
    per_gpu = samples_per_s.scaled(1 / rate_shape.gpus).times(Range.around(1, rate.spread or STATED_SPREAD))
    seconds = per_gpu.times(ratio.range).inverted(training.step_samples / training.gpus)
    if not ratio.assumed:
        return StepTime(seconds, Source(SourceKind.GIVEN, origin))
    floor_s = fastest_step_s(workload, placement) or 0.0
    return StepTime(seconds.at_least(floor_s), Source(SourceKind.TRANSFERRED, origin, assumed=ratio.assumed))


def _stated_rate(workload: Workload, shape: Shape) -> tuple[Range, str]:
    """Samples/s of all GPUs of `shape`, and the rate in the unit in which it was stated."""
    rate = workload.throughput
    if rate.step_time is not None:
        per_s, text = shape.step_samples / rate.step_time, f"{format_significant(rate.step_time)} s per step"
    elif rate.tokens_per_s is not None:
        text = f"{format_significant(rate.tokens_per_s)} tokens/s"
        per_s = rate.tokens_per_s / (shape.seq_len or 1)
    elif rate.tflops_per_gpu is not None:
        text = f"{format_significant(rate.tflops_per_gpu)} TFLOP/s per GPU"
        return _by_flops_per_s(workload, shape, rate.tflops_per_gpu * _TERA, text)
    elif rate.samples_per_s_per_gpu is not None:
        text = f"{format_significant(rate.samples_per_s_per_gpu)} samples/s per GPU"
        per_s = rate.samples_per_s_per_gpu * shape.gpus
    else:
        per_s = rate.samples_per_s or 0.0
        text = f"{format_significant(per_s)} samples/s"
    return Range.exactly(per_s), text


def _by_flops_per_s(
    workload: Workload, shape: Shape, flops_per_s_per_gpu: float, text: str
) -> tuple[Range, str]:
    """Samples/s of all GPUs of `shape` by the FLOP/s of one, and `text` with the share of attention."""
    architecture, tokens = workload.architecture, shape.seq_len or 1
    is_stated = architecture.layers and architecture.hidden
    attention = Range.exactly(1) if is_stated else GUESSED_ATTENTION
    low, middle, high = (
        flops_per_sample_at(workload, tokens, x) or math.inf
        for x in (attention.p10, attention.p50, attention.p90)
    )
    samples_per_s = Range(low, middle, high).inverted(flops_per_s_per_gpu * shape.gpus)
    said = attention_text(workload)
    return samples_per_s, f"{text}, {said}," if said else text


def _by_flops(workload: Workload, placement: Placement, why_no_rate: str) -> StepTime:
    """FLOPs of the step over the GPUs' peak times a published range of MFU; unknown where one of these is missing."""
    fastest = fastest_step_s(workload, placement)
    if fastest is None:
        needs = {
            "--parameters": workload.architecture.flops_parameters,
            "--seq-len": workload.data.seq_len,
            "a GPU type of the catalogue" if placement.gpu_type else "--gpu": placement.gpu,
        }
        missing = [flag for flag, value in needs.items() if not value]
        if not missing:
            gpu = placement.gpu.name if placement.gpu else ""
            return unknown_step_time(f"{placement.precision} has no native rate on {gpu}")
        return unknown_step_time(f"{why_no_rate}; a rough prior needs {', '.join(missing)}")
    table = MFU_MOE if workload.architecture.active_parameters else MFU
    mfu, by_convention = table[placement.precision], step_s_at_peak(workload, placement) or fastest
    gpu = placement.gpu.name if placement.gpu else ""
    text = f"{flops_text(workload)} at {mfu.p10:.0%} to {mfu.p90:.0%} of {gpu}'s {placement.precision} peak"
    # MFU counts both halves of a causal attention matrix; a kernel that skips one does half of that work.
    seconds = Range(fastest / mfu.p90, by_convention / mfu.p50, by_convention / mfu.p10)
    return StepTime(seconds, Source(SourceKind.PRIOR, text))
