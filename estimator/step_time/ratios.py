"""Published ratios of speed between GPU types and between precisions, with their spread; see `priors`."""

import math

from ...cluster_profiles.gpu import Gpu
from ...cluster_profiles.precision import Precision
from ..priors import OTHER_GPU, Prior, speed_ratio
from ..ranges import Range

_SAME_CHIP_SPREAD = 0.1  # power limits and clocks of boards with one chip


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
    within = (
        min(max(x, min(peaks, 1.0)), max(peaks, 1.0))
        for x in (faster.range.p10, faster.range.p50, faster.range.p90)
    )
    return Prior(Range(*within), faster.text)
