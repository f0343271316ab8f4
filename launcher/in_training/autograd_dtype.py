"""The number format that a training script computes in, read from the torch that the script itself has loaded.

Nothing is imported, hooked or changed.  A format that cannot be read is None: this never guesses.
"""

import sys
from typing import Any

MAX_GRAPH_NODES = 20_000  # of a loss's graph: takes tens of milliseconds, once
_PRODUCTS = ("Mm", "Addmm", "Bmm", "Baddbmm", "Addbmm", "Linear", "Convolution", "ScaledDotProduct")
_LOW_PRECISION = {"bfloat16", "float16"}


def find_autograd_dtype(loss: object = None) -> str | None:
    """Return the dtype of the matrix products behind `loss`, by torch's name; None if it cannot be found.

    Without such products, return that of an active autocast, else that of our `mixed_precision`.  An inactive
    autocast tells nothing: the loop's body may activate it.

    >>> find_autograd_dtype(0.5) is None
    True
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return (
        _dtype_of_products(getattr(loss, "grad_fn", None)) or _dtype_of_autocast(torch) or _dtype_of_helper()
    )


def _dtype_of_products(node: Any) -> str | None:
    """Return bfloat16 or float16 if one product has it, since heads and norms are float32 by design; float32 if all have it.

    Compiled graphs and custom functions hide their products.  With one of them, float32 is not certain: None.
    """
    waiting, visited, dtypes, hidden = [node] if node is not None else [], {node}, set[str](), False
    while waiting:
        node = waiting.pop()
        name = node.name()
        hidden = hidden or (
            name.endswith("Backward") and "::" not in name
        )  # the names of torch's own functions end in a number
        if name.startswith(_PRODUCTS):
            dtype = _dtype_of(node)
            if dtype is None or dtype in _LOW_PRECISION:
                return dtype
            dtypes.add(dtype)
        inputs = {before for before, _ in node.next_functions if before is not None} - visited
        visited |= inputs
        waiting.extend(inputs)
        if len(visited) > MAX_GRAPH_NODES:
            return None
    return dtypes.pop() if len(dtypes) == 1 and not hidden else None


def _dtype_of(node: Any) -> str | None:
    try:
        return str(node._input_metadata[0].dtype).removeprefix("torch.")  # noqa: SLF001  torch >= 2.1; no public way
    except (AttributeError, IndexError):
        return None


def _dtype_of_autocast(torch: Any) -> str | None:
    if not hasattr(torch, "get_autocast_dtype"):  # torch < 2.4
        return None
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return None


def _dtype_of_helper() -> str | None:
    helper = sys.modules.get(f"{__package__}.mixed_precision")
    return next(iter(helper.USED), None) if helper else None
