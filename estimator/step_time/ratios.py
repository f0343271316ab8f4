"""Published ratios that carry a rate from one shape, precision or GPU type to another, with their spread.

A synchronous step of t seconds on n GPUs, with a micro-batches of b samples, runs at  n b a / t  samples/s.
From one shape (index 0) to another the rate of one GPU is multiplied by

    e^log2(n / n0)                      each doubling of the GPUs keeps e, about 0.97
    c                                   the same GPUs on more nodes, c about 0.96
    (b / b0) / (f + (1 - f) b / b0)     a share f of the step does not shrink with b, in tokens where lengths are known
    F(s0) / F(s)                        sequence length: the FLOPs of a sample, attention included
    r(p0 -> p)                          speed of one precision over the other, at most the ratio of the peaks

each a range; see `priors`.
"""

import math
from dataclasses import dataclass

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.units import format_significant
from ..job.flops import flops_per_sample_at
from ..job.shape import Shape
from ..job.workload import Workload
from ..priors import (
    ATTENTION_COST,
    EFFICIENCY_PER_DOUBLING,
    FIXED_SHARE,
    HIDDEN_SIZE,
    MORE_NODES,
    OTHER_GPU,
    Prior,
    speed_ratio,
)
from ..ranges import Range

_SAME_CHIP_SPREAD = 0.1  # power limits and clocks of boards with one chip


@dataclass(frozen=True)
class Ratio:
    """A factor on the rate, and the published ratios it rests on."""

    range: Range
    assumed: tuple[str, ...]


def rate_ratio(
    before: Shape, after: Shape, gpu: Gpu | None = None, work: Prior | None = None
) -> Ratio | None:
    """Return samples/s per GPU in `after` over those in `before`, on one GPU type; None if no ratio is published.

    `work` is that of a sample in `after` over that of one in `before`: see `work_ratio`.

    >>> one, eight = (Shape(None, 1, n, n, 32, precision=Precision.BF16) for n in (1, 8))
    >>> ratio = rate_ratio(one, eight).range
    >>> round(ratio.p10, 3), round(ratio.p50, 3), round(ratio.p90, 3)
    (0.713, 0.914, 0.989)
    """
    ratio, assumed = Range.exactly(1), list[str]()
    if before.gpus != after.gpus:
        doublings = math.log2(after.gpus / before.gpus)
        kept = (x**doublings for x in _values(EFFICIENCY_PER_DOUBLING.range))
        ratio = ratio.times(Range(*sorted(kept)))
        assumed.append(EFFICIENCY_PER_DOUBLING.text)
    elif before.nodes != after.nodes:
        more = after.nodes > before.nodes
        ratio = ratio.times(MORE_NODES.range if more else MORE_NODES.range.inverted(1))
        assumed.append(MORE_NODES.text)
    relative = after.batch_size / before.batch_size
    if before.seq_len and after.seq_len:
        relative *= after.seq_len / before.seq_len
    if relative != 1:
        gained = (relative / (f + (1 - f) * relative) for f in _values(FIXED_SHARE.range))
        ratio = ratio.times(Range(*sorted(gained)))
        assumed.append(FIXED_SHARE.text)
    if work:
        ratio = ratio.times(work.range.inverted(1))
        assumed.append(work.text)
    if before.precision != after.precision:
        faster = precision_ratio(before.precision, after.precision, gpu)
        if faster is None:
            return None
        ratio = ratio.times(faster.range)
        assumed.append(faster.text)
    return Ratio(ratio, tuple(assumed))


def work_ratio(workload: Workload, before: int, after: int) -> Prior:
    """Return the work of a sample of `after` tokens over that of a sample of `before` tokens.

    Per token it is  1 + c S / (6 h),  the FLOPs of attention over those of the weights: S tokens, h the hidden size, and
    c the time of attention's FLOPs over that of as many FLOPs of the weights.

    >>> job = Workload.of(samples=1, batch_size=1, gpus=1, parameters=7e9)
    >>> round(work_ratio(job, 1024, 65536).range.p50 / 64, 2)
    3.45
    """
    if flops_per_sample_at(workload, after) is None:
        hidden = workload.architecture.hidden
        sizes = Range.exactly(hidden) if hidden else HIDDEN_SIZE.range
        costs = _values(ATTENTION_COST.times(sizes.inverted(1)))
        ratios = [after * (1 + c * after / 6) / (before * (1 + c * before / 6)) for c in costs]
        origin = f", attention by {f'hidden {hidden:,}' if hidden else HIDDEN_SIZE.text}"
    else:
        one, other = (
            [flops_per_sample_at(workload, tokens, cost) or 1.0 for cost in _values(ATTENTION_COST)]
            for tokens in (before, after)
        )
        ratios, origin = [b / a for a, b in zip(one, other, strict=True)], ", attention included"
    work = Range(*sorted(ratios))
    text = (
        f"x{format_significant(work.p50)} the FLOPs at {after:,} tokens per sample as at {before:,}{origin}"
    )
    return Prior(work, text)


def gpu_ratio(before: Gpu, after: Gpu) -> Prior:
    """Return the speed on the GPU type `after` over that on `before`, for one model in one shape.

    Two types with the same peaks differ by no more than their memory bandwidths.
    """
    bandwidths = after.bandwidth_bytes_per_s / before.bandwidth_bytes_per_s
    if before.peak_flops == after.peak_flops:
        either = Range(min(1.0, bandwidths), math.sqrt(bandwidths), max(1.0, bandwidths))
        text = f"{after.key} is x{either.p10:.2f} to x{either.p90:.2f} against {before.key}: the same peak, other memory"
        return Prior(either.times(Range.around(1, _SAME_CHIP_SPREAD)), text)
    slowdown_on_faster = OTHER_GPU.range
    deviation = slowdown_on_faster.inverted(1) if bandwidths > 1 else slowdown_on_faster
    return Prior(deviation.scaled(bandwidths), f"{after.key} is {OTHER_GPU.text} against {before.key}")


def precision_ratio(before: Precision, after: Precision, gpu: Gpu | None) -> Prior | None:
    """Return the speed in `after` over that in `before`, at most the ratio of the peaks; None if none is published."""
    faster = speed_ratio(before, after)
    if faster is None or gpu is None:
        return faster
    if before not in gpu.peak_flops or after not in gpu.peak_flops:
        return None
    peaks = gpu.peak_flops[after] / gpu.peak_flops[before]
    within = (min(max(x, min(peaks, 1.0)), max(peaks, 1.0)) for x in _values(faster.range))
    return Prior(Range(*within), faster.text)


def _values(r: Range) -> tuple[float, float, float]:
    return r.p10, r.p50, r.p90
