"""In which number format a training script is seen to compute: read from the torch that it has loaded itself.

Nothing is imported, hooked or changed.  What cannot be seen is None: never a guess.
"""

import sys
from typing import Any

MAX_GRAPH_NODES = 20_000  # of a loss's graph: some tens of milliseconds, once
_PRODUCTS = ("Mm", "Addmm", "Bmm", "Baddbmm", "Addbmm", "Linear", "Convolution", "ScaledDotProduct")
_LOW = {"bfloat16", "float16"}


def find_autograd_dtype(loss: object = None) -> str | None:
    """The dtype of the matrix products that made `loss`; else that of an autocast in force, or that our helper gave.

    An autocast that is not in force says nothing: it may be so inside the loop's body.

    >>> find_autograd_dtype(0.5) is None
    True
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return _of_products(getattr(loss, "grad_fn", None)) or _of_autocast(torch) or _of_helper()


def _of_products(node: Any) -> str | None:
    """bfloat16 or float16 if one product was so: heads and norms are float32 by design.  float32 if all were.

    A compiled graph and a function of somebody's own hide what they compute, so there float32 cannot be told.
    """
    waiting, known, found, hidden = [node] if node is not None else [], {node}, set[str](), False
    while waiting:
        node = waiting.pop()
        name = node.name()
        hidden = hidden or (name.endswith("Backward") and "::" not in name)  # torch's own are numbered
        if name.startswith(_PRODUCTS):
            dtype = _dtype_of(node)
            if dtype is None or dtype in _LOW:
                return dtype
            found.add(dtype)
        fresh = {before for before, _ in node.next_functions if before is not None} - known
        known |= fresh
        waiting.extend(fresh)
        if len(known) > MAX_GRAPH_NODES:
            return None
    return found.pop() if len(found) == 1 and not hidden else None


def _dtype_of(node: Any) -> str | None:
    try:
        return str(node._input_metadata[0].dtype).removeprefix("torch.")  # noqa: SLF001  torch >= 2.1; no public way
    except (AttributeError, IndexError):
        return None


def _of_autocast(torch: Any) -> str | None:
    if not hasattr(torch, "get_autocast_dtype"):  # torch < 2.4
        return None
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return None


def _of_helper() -> str | None:
    helper = sys.modules.get(f"{__package__}.mixed_precision")
    return next(iter(helper.USED), None) if helper else None
