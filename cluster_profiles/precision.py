"""Number formats that training steps are computed in."""

from enum import StrEnum


class Precision(StrEnum):
    """The format of the matrix multiplications: mixed precision is named by its lower format."""

    AUTO = "auto"
    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"

    @classmethod
    def _missing_(cls, value: object) -> "Precision | None":
        """Read the names that torch, Lightning and Accelerate have for a precision."""
        name = str(value).lower().replace("_", "-").removeprefix("torch.")
        name = name.removesuffix("-mixed").removesuffix("-true").removeprefix("mixed-")
        return next((p for p, names in _OTHER_NAMES.items() if name in {p.value, *names.split()}), None)


_OTHER_NAMES = {
    Precision.FP32: "float32 float single full 32",
    Precision.TF32: "tensorfloat32 tensorfloat-32",
    Precision.FP16: "float16 half 16 amp",
    Precision.BF16: "bfloat16 bfloat",
    Precision.FP8: "float8 float8-e4m3fn e4m3 transformer-engine",
}


def best_precision(compute_capability: tuple[int, int]) -> Precision:
    """Return the precision that `auto` means on a GPU: bf16 where it is native, else fp16, else fp32.

    >>> str(best_precision((8, 0))), str(best_precision((7, 5))), str(best_precision((6, 0)))
    ('bf16', 'fp16', 'fp32')
    """
    if compute_capability >= (8, 0):
        return Precision.BF16
    # Pascal computes fp16 fast but accumulates in it: only fp32 trains safely there.
    return Precision.FP16 if compute_capability >= (7, 0) else Precision.FP32
