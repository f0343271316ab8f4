"""The time of one step, and where it was learnt: given, measured, transferred, a prior, or unknown."""

import math
from collections.abc import Sequence
from datetime import datetime

from ...cluster_profiles.gpu import shared_precision
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import counted, format_significant
from ..job.flops import fastest_step_s, flops_per_sample, flops_text
from ..job.given import RATES
from ..job.placement import Placement
from ..job.workload import Workload
from ..measurements.measurement import Measurement
from ..priors import GIVEN_SPREAD, MFU, MFU_MOE
from ..ranges import Range
from .ratios import Shape, rate_ratio
from .source import Source, SourceKind, Throughput, unknown

_TERA = 1e12


def step_throughput(
    workload: Workload,
    placement: Placement,
    measurements: Sequence[Measurement] = (),
    now: datetime | None = None,
) -> Throughput:
    """The step time of `workload` as placed: what was given wins, then measurements, then the prior.

    Runs of exactly this configuration are the answer; others of the model inform it by what was learned of them.
    """
    if rate_given(workload):
        return _given(workload, placement)
    found = None
    if any(m.model == workload.model for m in measurements):
        from .measured import measured_throughput  # noqa: PLC0415  numpy, where nothing was measured

        found = measured_throughput(workload, placement, measurements, now)
    if found and found.step_time_s:
        return found
    return _prior(workload, placement, found.source.text if found else "nothing given or measured")


def rate_given(workload: Workload) -> bool:
    return any(getattr(workload.throughput, name) is not None for name in RATES)


def _given(workload: Workload, placement: Placement) -> Throughput:
    """The rate in the job file or the flags, carried over if it belongs to another shape."""
    rate, training, gpu = workload.throughput, workload.training, placement.gpu
    if rate.gpu and gpu and not gpu.answers_to(rate.gpu):
        return unknown(
            f"given on {rate.gpu}; nothing tells the speed of {gpu.key} from it: give one measured there"
        )
    if rate.model_parallel and rate.model_parallel != training.model_parallel:
        given, asked = (counted(n, "GPU") for n in (rate.model_parallel, training.model_parallel))
        return unknown(
            f"given with {given} a replica; nothing tells the speed with {asked} from it: give one measured so"
        )
    precision = rate.precision or placement.precision
    if precision is Precision.AUTO:
        precision = shared_precision(placement.may_be) or precision
    seq_len = workload.data.seq_len
    before = Shape(
        gpus=rate.gpus or training.gpus,
        batch_size=rate.batch_size or training.batch_size,
        precision=precision,
        nodes=rate.nodes,
        seq_len=rate.seq_len or seq_len,
    )
    after = Shape(training.gpus, training.batch_size, placement.precision, placement.nodes, seq_len)
    ratio = rate_ratio(before, after, gpu)
    if ratio is None and precision is Precision.AUTO:
        return unknown(
            "the precision of the rate given is not stated, nor the GPU type; set throughput.precision"
        )
    if ratio is None:
        return unknown(
            f"given in {precision}; nothing published tells the speed of {placement.precision} from it: give one measured so"
        )

    samples_per_s, said = _given_rate(workload, before)
    spread = f"±{rate.spread or GIVEN_SPREAD:.0%}{'' if rate.spread else ' assumed'}"
    kind = "" if precision is Precision.AUTO else f" in {precision}"
    origin = f"{said} on {counted(before.gpus, 'GPU')}{kind}, {spread}"
    per_gpu = Range.around(samples_per_s / before.gpus, rate.spread or GIVEN_SPREAD)
    step = per_gpu.times(ratio.range).inverted(training.step_samples / training.gpus)
    if not ratio.assumed:
        return Throughput(step, Source(SourceKind.GIVEN, origin))
    floor = fastest_step_s(workload, placement) or 0.0
    return Throughput(step.at_least(floor), Source(SourceKind.TRANSFERRED, origin, assumed=ratio.assumed))


def _given_rate(workload: Workload, shape: Shape) -> tuple[float, str]:
    """Samples/s of all GPUs of `shape`, and the rate as it was given."""
    rate, training = workload.throughput, workload.training
    if rate.step_time is not None:
        replicas = shape.gpus / (rate.model_parallel or training.model_parallel)
        step_samples = shape.batch_size * (rate.accumulation or training.accumulation) * replicas
        return step_samples / rate.step_time, f"{format_significant(rate.step_time)} s a step"
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


def _prior(workload: Workload, placement: Placement, known: str) -> Throughput:
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
            return unknown(
                f"{placement.precision} has no native rate on {placement.gpu.name if placement.gpu else ''}"
            )
        return unknown(f"{known}; a rough prior needs {', '.join(missing)}")
    table = MFU_MOE if workload.architecture.active_parameters else MFU
    mfu = table[placement.precision]
    gpu = placement.gpu.name if placement.gpu else ""
    text = f"{flops_text(workload)} at {mfu.p10:.0%} to {mfu.p90:.0%} of {gpu}'s {placement.precision} peak"
    return Throughput(mfu.inverted(fastest), Source(SourceKind.PRIOR, text))
