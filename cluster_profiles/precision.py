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
