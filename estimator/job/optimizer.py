"""The optimizers whose memory is published, by every name that Hugging Face, bitsandbytes and torch give them."""

import re
from enum import StrEnum


class Optimizer(StrEnum):
    """The optimizer, which decides the states kept per parameter.

    `paged` states may move to host memory while the GPU is short of it.  `sgd` does not say whether it has momentum.

    Examples:
        >>> str(Optimizer("adamw_torch_fused")), str(Optimizer("PagedAdamW8bit"))
        ('adam', 'paged-adam-8bit')
    """

    ADAM = "adam"
    ADAM_8BIT = "adam-8bit"
    ADAM_4BIT = "adam-4bit"
    PAGED_ADAM = "paged-adam"
    PAGED_ADAM_8BIT = "paged-adam-8bit"
    ADAM_MINI = "adam-mini"
    ADEMAMIX = "ademamix"
    ADEMAMIX_8BIT = "ademamix-8bit"
    PAGED_ADEMAMIX = "paged-ademamix"
    PAGED_ADEMAMIX_8BIT = "paged-ademamix-8bit"
    LION = "lion"
    LION_8BIT = "lion-8bit"
    PAGED_LION = "paged-lion"
    PAGED_LION_8BIT = "paged-lion-8bit"
    MUON = "muon"
    SGD = "sgd"
    SGD_MOMENTUM = "sgd-momentum"
    SGD_NO_MOMENTUM = "sgd-no-momentum"
    RMSPROP = "rmsprop"
    RMSPROP_8BIT = "rmsprop-8bit"
    ADAGRAD = "adagrad"
    ADAFACTOR = "adafactor"
    GALORE = "galore"
    GALORE_8BIT = "galore-8bit"
    LOMO = "lomo"
    ADALOMO = "adalomo"

    @classmethod
    def _missing_(cls, value: object) -> "Optimizer | None":
        """Read another spelling: decoupled weight decay, fused kernels and 32 bit change no state."""
        name = re.sub(r"[^a-z0-9]", "", str(value).lower())
        name = re.sub(
            r"torch|fused|apex|xla|npu|hf|bnb|deepspeed|cpu|anyprecision|layerwise|schedulefree|stable|32bit",
            "",
            name,
        )
        name = re.sub(r"galore(adamw?|adafactor)", "galore", name).replace("adamw", "adam")
        return next((member for member in cls if member.replace("-", "") == name), None)

    @property
    def is_paged(self) -> bool:
        """Return whether the states may leave the GPU as far as needed."""
        return self.startswith("paged-")

    @property
    def updates_in_backward(self) -> bool:
        """Return whether it updates each layer as soon as its gradient is there."""
        return self in (Optimizer.LOMO, Optimizer.ADALOMO)
