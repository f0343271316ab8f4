"""The autocast and the gradient scaler that a plain torch script needs in the precision of its job.

Imported by training code: at import the standard library is all it loads.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from ...cluster_profiles.precision import Precision
from ...errors import InputError

USED = set[str]()  # dtypes of autocasts that were made: `track` reports it


class MixedPrecision(NamedTuple):
    """What `mixed_precision()` gives: `autocast()` makes a context, `scaler` is a GradScaler."""

    autocast: Callable[[], AbstractContextManager[Any]]
    scaler: Any


def mixed_precision() -> MixedPrecision:
    """Autocast and gradient scaler for CLUSTERPLAN_PRECISION, which `clusterplan submit` exports.

    Two lines before a loop as PyTorch's documentation writes it; the scaler does nothing unless the precision is
    fp16, autocast nothing in fp32 and tf32, and both nothing outside a job of clusterplan:

        from clusterplan import mixed_precision
        autocast, scaler = mixed_precision()

        with autocast():
            loss = model(batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    Raises InputError for fp8, which torch.autocast does not have.
    """
    import torch  # noqa: PLC0415  torch, which is the training code's

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
        raise InputError("precision fp8 needs Transformer Engine, torch.autocast has none: say bf16")
    if text not in set(Precision):
        raise InputError(f"CLUSTERPLAN_PRECISION {text!r} is no precision: say fp32, tf32, fp16 or bf16")
    if text != Precision.AUTO:
        return Precision(text)
    # As Gpu.best_precision does it, of the GPU that is there.
    if capability is None or capability < (7, 0):
        return Precision.FP32
    return Precision.BF16 if capability >= (8, 0) else Precision.FP16
