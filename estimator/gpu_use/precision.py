"""Whether a run computed in the precision it was planned in, as far as it was seen.  Pure."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...cluster_profiles.precision import Precision
from .notes import Note

TENSOR_IDLE_SHARE = 0.005  # of the time that the SMs worked; a step of small products is far above it
SM_BUSY_SHARE = 0.2  # of the run; a GPU that worked less trained too little to tell
_TENSOR_CORE_PRECISIONS = (Precision.TF32, Precision.FP16, Precision.BF16, Precision.FP8)
_REMEDY = (
    "use the autocast of clusterplan.mixed_precision, or state the framework in the job file, and submit sets it; "
    "or plan with precision = "
)


class GpuMetrics(Protocol):
    """One GPU's UUID and metrics; of these `sm_active_mean` and `tensor_active_mean` are used, None if not measured."""

    @property
    def uuid(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, float | None]: ...


def precision_of_dtype(dtype: str | None) -> Precision | None:
    """Return the precision that a script or torch calls `dtype`; None if it is none of ours.

    >>> precision_of_dtype("bfloat16"), precision_of_dtype("float64")
    (<Precision.BF16: 'bf16'>, None)
    """
    try:
        return Precision(dtype or "")
    except ValueError:
        return None


def is_same_precision(planned: Precision | None, observed: Precision | None) -> bool | None:
    """Return whether the tracker observed the planned precision; None if that cannot be told.

    tf32 multiplies tensors that are called float32, and fp8 is computed inside modules whose results are wider.

    >>> is_same_precision(Precision.BF16, Precision.FP32), is_same_precision(Precision.TF32, Precision.FP32)
    (False, None)
    """
    if planned in (None, Precision.AUTO) or observed is None:
        return None
    if planned is Precision.FP8 or (planned, observed) == (Precision.TF32, Precision.FP32):
        return None
    return planned is observed


def find_precision_notes(
    planned: Precision | None, observed: Precision | None, gpus: Sequence[GpuMetrics]
) -> list[Note]:
    """Return a note if the run's precision is not the planned one, or if tensor cores idled while the SMs worked.

    What the tracker observed is believed first: some models have few matrix products.
    """
    match = is_same_precision(planned, observed)
    if match is False:
        remedy = f"{_REMEDY}{observed}" if observed is Precision.FP32 else f"plan with precision = {observed}"
        text = f"the run was planned in {planned}, but its tracker saw it train in {observed}; {remedy}"
        return [Note("precision", text, ())]
    if match or planned not in _TENSOR_CORE_PRECISIONS:
        return []
    if not gpus or not all(map(_tensor_cores_idled, gpus)):
        return []
    text = (
        f"the run was planned in {planned}, which needs tensor cores, but they idled while the GPUs worked, as in fp32; "
        f"{_REMEDY}fp32"
    )
    return [Note("precision", text, tuple(gpu.uuid for gpu in gpus))]


def _tensor_cores_idled(gpu: GpuMetrics) -> bool:
    """Return whether they idled while the SMs worked; False if either was not measured."""
    sms, tensor_cores = gpu.metrics["sm_active_mean"], gpu.metrics["tensor_active_mean"]
    if sms is None or tensor_cores is None:
        return False
    return sms >= SM_BUSY_SHARE and tensor_cores < TENSOR_IDLE_SHARE * sms
