"""The time of one step, and where it was learnt: given, measured, transferred, a prior, or unknown."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ...cluster_profiles.gpu import shared_precision
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant, plural
from ..job.flops import fastest_step_s, flops_per_sample, flops_text
from ..job.given import STATED_RATES
from ..job.placement import Placement, shape_of_job
from ..job.shape import Shape
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import GIVEN_SPREAD, MFU, MFU_MOE
from ..ranges import Range
from .ratios import rate_ratio
from .source import Source, SourceKind, StepTime, unknown_step_time

_TERA = 1e12


def estimate_step_time(
    workload: Workload,
    placement: Placement,
    measurements: Sequence[Measurement] = (),
    now: datetime | None = None,
) -> StepTime:
    """The step time of `workload` as placed: what was given wins, then measurements, then the prior.

    Runs of exactly this configuration are the answer; others of the model inform it by what was learned of them.
    """
    if has_stated_rate(workload):
        return _given(workload, placement)
    found = None
    if any(m.model == workload.model for m in measurements):
        from .measured import measured_step_time  # noqa: PLC0415  numpy, where nothing was measured

        found = measured_step_time(workload, placement, measurements, now)
    if found and found.seconds:
        return found
    return _prior(workload, placement, found.source.text if found else "nothing given or measured")


def has_stated_rate(workload: Workload) -> bool:
    return any(getattr(workload.throughput, name) is not None for name in STATED_RATES)


def _given(workload: Workload, placement: Placement) -> StepTime:
    """The rate in the job file or the flags, carried over if it belongs to another shape."""
    rate, training, gpu = workload.throughput, workload.training, placement.gpu
    if rate.gpu and gpu and not gpu.answers_to(rate.gpu):
        return unknown_step_time(
            f"given on {rate.gpu}; nothing tells the speed of {gpu.key} from it: give one measured there"
        )
    if rate.model_parallel and rate.model_parallel != training.model_parallel:
        given, asked = (plural(n, "GPU") for n in (rate.model_parallel, training.model_parallel))
        return unknown_step_time(
            f"given with {given} a replica; nothing tells the speed with {asked} from it: give one measured so"
        )
    precision = rate.precision or placement.precision
    if precision is Precision.AUTO:
        precision = shared_precision(placement.may_be) or precision
    after = shape_of_job(workload, placement)
    before = replace(
        after,
        nodes=rate.nodes or after.nodes,
        gpus=rate.gpus or after.gpus,
        batch_size=rate.batch_size or after.batch_size,
        accumulation=rate.accumulation or after.accumulation,
        precision=precision,
        seq_len=rate.seq_len or after.seq_len,
    )
    ratio = rate_ratio(before, after, gpu)
    if ratio is None and precision is Precision.AUTO:
        return unknown_step_time(
            "the precision of the rate given is not stated, nor the GPU type; set throughput.precision"
        )
    if ratio is None:
        return unknown_step_time(
            f"given in {precision}; nothing published tells the speed of {placement.precision} from it: give one measured so"
        )

    samples_per_s, said = _given_rate(workload, before)
    spread = f"±{rate.spread or GIVEN_SPREAD:.0%}{'' if rate.spread else ' assumed'}"
    kind = "" if precision is Precision.AUTO else f" in {precision}"
    origin = f"{said} on {plural(before.gpus, 'GPU')}{kind}, {spread}"
    per_gpu = Range.around(samples_per_s / before.gpus, rate.spread or GIVEN_SPREAD)
    step = per_gpu.times(ratio.range).inverted(training.step_samples / training.gpus)
    if not ratio.assumed:
        return StepTime(step, Source(SourceKind.GIVEN, origin))
    floor = fastest_step_s(workload, placement) or 0.0
    return StepTime(step.at_least(floor), Source(SourceKind.TRANSFERRED, origin, assumed=ratio.assumed))


def _given_rate(workload: Workload, shape: Shape) -> tuple[float, str]:
    """Samples/s of all GPUs of `shape`, and the rate as it was given."""
    rate = workload.throughput
    if rate.step_time is not None:
        return shape.step_samples / rate.step_time, f"{format_significant(rate.step_time)} s a step"
    if rate.tokens_per_s is not None:
        said = f"{format_significant(rate.tokens_per_s)} tokens/s"
        return rate.tokens_per_s / (shape.seq_len or 1), said
    if rate.tflops_per_gpu is not None:
        flops = (flops_per_sample(workload) or math.inf) / (workload.data.seq_len or 1) * (shape.seq_len or 1)
        said = f"{format_significant(rate.tflops_per_gpu)} TFLOP/s per GPU"
        return rate.tflops_per_gpu * _TERA * shape.gpus / flops, said
    if rate.samples_per_s_per_gpu is not None:
        said = f"{format_significant(rate.samples_per_s_per_gpu)} samples/s per GPU"
        return rate.samples_per_s_per_gpu * shape.gpus, said
    return rate.samples_per_s or 0.0, f"{format_significant(rate.samples_per_s or 0.0)} samples/s"


def _prior(workload: Workload, placement: Placement, known: str) -> StepTime:
    """FLOPs of the step over the GPUs' peak times a published range of MFU; else what little is known."""
    fastest = fastest_step_s(workload, placement)
    if fastest is None:
        missing = [
            name
            for name, known in (
                ("--parameters", workload.architecture.flops_parameters),
                ("--seq-len", workload.data.seq_len),
                ("--gpu", placement.gpu),
            )
            if not known
        ]
        if not missing:
            return unknown_step_time(
                f"{placement.precision} has no native rate on {placement.gpu.name if placement.gpu else ''}"
            )
        return unknown_step_time(f"{known}; a rough prior needs {', '.join(missing)}")
    table = MFU_MOE if workload.architecture.active_parameters else MFU
    mfu = table[placement.precision]
    gpu = placement.gpu.name if placement.gpu else ""
    text = f"{flops_text(workload)} at {mfu.p10:.0%} to {mfu.p90:.0%} of {gpu}'s {placement.precision} peak"
    return StepTime(mfu.inverted(fastest), Source(SourceKind.PRIOR, text))
