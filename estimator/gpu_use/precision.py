"""Whether a run computed in the precision it was planned in, as far as that was seen: pure."""

from collections.abc import Sequence
from typing import Protocol

from ...cluster_profiles.precision import Precision
from .notes import Note

TENSOR_IDLE_SHARE = 0.005  # of the time that the SMs worked; a step of small products is far above it
SM_BUSY_SHARE = 0.2  # of the run; a GPU that did less trained too little to tell
_ON_TENSOR_CORES = (Precision.TF32, Precision.FP16, Precision.BF16, Precision.FP8)
# What scripts, and torch, call them.
_SPOKEN = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}
_REMEDY = (
    "use the autocast of clusterplan.mixed_precision, or state the framework in the job file, and submit sets it; "
    "or plan with precision = "
)


class Worked(Protocol):
    """Of one GPU: the shares of the time that its SMs and tensor cores worked; None was not measured."""

    @property
    def uuid(self) -> str: ...
    @property
    def sm_active_mean(self) -> float | None: ...
    @property
    def tensor_active_mean(self) -> float | None: ...


def precision_of_dtype(dtype: str | None) -> Precision | None:
    """The precision that a script or torch names so.

    >>> precision_of_dtype("bfloat16"), precision_of_dtype("float64")
    (<Precision.BF16: 'bf16'>, None)
    """
    try:
        return Precision(_SPOKEN.get(dtype or "", dtype or ""))
    except ValueError:
        return None


def is_same_precision(planned: Precision | None, seen: Precision | None) -> bool | None:
    """Whether what was seen is what was planned; None where that cannot be told.

    tf32 multiplies tensors that are called float32, and fp8 is computed inside modules whose results are wider.

    >>> is_same_precision(Precision.BF16, Precision.FP32), is_same_precision(Precision.TF32, Precision.FP32)
    (False, None)
    """
    if planned in (None, Precision.AUTO) or seen is None:
        return None
    if planned is Precision.FP8 or (planned, seen) == (Precision.TF32, Precision.FP32):
        return None
    return planned is seen


def find_precision_notes(
    planned: Precision | None, seen: Precision | None, gpus: Sequence[Worked]
) -> list[Note]:
    """What is wrong with a run's precision: another was seen, or tensor cores idled while the SMs worked.

    Where the tracker saw the precision, it is believed: some models have few products.
    """
    match = is_same_precision(planned, seen)
    if match is False:
        remedy = f"{_REMEDY}{seen}" if seen is Precision.FP32 else f"plan with precision = {seen}"
        return [
            Note("precision", f"planned in {planned}, but its tracker saw it train in {seen}: {remedy}", ())
        ]
    if match or planned not in _ON_TENSOR_CORES:
        return []
    if not gpus or not all(map(_tensor_cores_idled, gpus)):
        return []
    text = (
        f"planned in {planned}, which tensor cores compute, but they idled while the GPUs worked, as in fp32: "
        f"{_REMEDY}fp32"
    )
    return [Note("precision", text, tuple(gpu.uuid for gpu in gpus))]


def _tensor_cores_idled(gpu: Worked) -> bool:
    """While its SMs worked; what was not measured is not known to have idled."""
    sms, tensor_cores = gpu.sm_active_mean, gpu.tensor_active_mean
    if sms is None or tensor_cores is None:
        return False
    return sms >= SM_BUSY_SHARE and tensor_cores < TENSOR_IDLE_SHARE * sms
