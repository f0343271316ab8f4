"""The autocast and the gradient scaler that a plain torch script needs for the precision of its job.

Training code imports this: at import it loads the standard library alone.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from ...cluster_profiles.precision import Precision, best_precision
from ...errors import InputError

USED = set[str]()  # dtypes of the autocasts made so far, which `track` reports


class MixedPrecision(NamedTuple):
    """The result of `mixed_precision()`: `autocast()` makes a context, `scaler` is a GradScaler."""

    autocast: Callable[[], AbstractContextManager[Any]]
    scaler: Any


def mixed_precision() -> MixedPrecision:
    """Return autocast and gradient scaler for CLUSTERPLAN_PRECISION, which `clusterplan submit` exports.

    The loop stays as PyTorch's documentation writes it.  The scaler works in fp16 alone, autocast in fp16 and bf16;
    outside a job of clusterplan neither does anything:

        from clusterplan import mixed_precision
        autocast, scaler = mixed_precision()

        with autocast():
            loss = model(batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    Raises InputError for fp8, which torch.autocast does not support, and for an unknown precision.
    """
    import torch  # noqa: PLC0415  torch, which training code has and clusterplan does not install

    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = _precision(torch.cuda.get_device_capability() if device == "cuda" else None)
    if precision is Precision.TF32:
        torch.set_float32_matmul_precision("high")
    dtype = {Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}.get(precision)
    scales = precision is Precision.FP16
    if hasattr(torch.amp, "GradScaler"):
        scaler = torch.amp.GradScaler(device, enabled=scales)
    else:  # torch < 2.3
        scaler = torch.cuda.amp.GradScaler(enabled=scales)
    make: Callable[[], AbstractContextManager[Any]] = partial(
        torch.autocast, device, dtype=dtype, enabled=dtype is not None
    )
    name = str(dtype).removeprefix("torch.") if dtype else None

    def autocast() -> AbstractContextManager[Any]:
        if name:
            USED.add(name)
        return make()

    return MixedPrecision(autocast, scaler)


def _precision(capability: tuple[int, int] | None) -> Precision:
    text = os.environ.get("CLUSTERPLAN_PRECISION", Precision.FP32)
    if text == Precision.FP8:
        raise InputError(
            "precision fp8 needs Transformer Engine, and torch.autocast does not support it: use bf16"
        )
    if text not in set(Precision):
        raise InputError(f"CLUSTERPLAN_PRECISION {text!r} is not a precision: use fp32, tf32, fp16 or bf16")
    if text != Precision.AUTO:
        return Precision(text)
    return best_precision(capability) if capability else Precision.FP32
