"""The words of Lightning for precision and devices, which Fabric, its CLI and litgpt share.  Pure.

They are those of Lightning 2 (https://lightning.ai/docs/pytorch/stable/common/trainer.html), the old ones of 1.x.
"""

import re
from collections.abc import Iterator

from ..arguments import Argument, Arguments, find_number
from ..launch.claims import GpuClaim
from ..recipe import Setting

_PRECISIONS = {
    **dict.fromkeys(("bf16", "bf16-mixed", "bf16-true"), "bf16"),
    **dict.fromkeys(("16", "16-mixed", "16-true"), "fp16"),
    **dict.fromkeys(("32", "32-true", "64", "64-true"), "fp32"),
    "transformer-engine": "fp8",
}


def read_precision(arguments: Arguments, name: str) -> list[Setting]:
    """Return the precision, and that there are no weights in fp32 beside `-true` ones; nothing if it is none that is known.

    >>> [setting.value for setting in read_precision({"precision": Argument("precision", "bf16-true", "")}, "precision")]
    ['bf16', False]
    """
    argument = arguments.get(name)
    text = str(argument.value).strip("'\"") if argument else ""
    if argument is None or text not in _PRECISIONS:
        return []
    settings = [Setting("training.precision", _PRECISIONS[text], argument.source)]
    if text in ("bf16-true", "16-true"):
        settings.append(Setting("training.master_weights", value=False, source=argument.source))
    return settings


def read_devices(arguments: Arguments, devices: str, nodes: str) -> Iterator[GpuClaim]:
    """Yield the GPUs that `devices` of each of so many `nodes` are; a list is one of indices, and "auto" leaves them open.

    >>> arguments = {"devices": Argument("devices", "[0,1]", "x.yaml: devices")}
    >>> [(claim.gpus, claim.nodes) for claim in read_devices(arguments, "devices", "num_nodes")]
    [(2, 1)]
    """
    argument = arguments.get(devices)
    if argument is None:
        return
    stated = find_number(arguments, nodes)
    count = int(stated[0]) if stated else 1
    if per_node := _count(argument):
        yield GpuClaim(per_node * count, count, argument.source)
    elif stated:
        yield GpuClaim(None, count, stated[1])


def _count(argument: Argument) -> int | None:
    if isinstance(argument.value, list):
        return len(argument.value)
    text = str(argument.value).strip("'\"")
    if re.fullmatch(r"\[?\s*\d+(\s*,\s*\d+)*\s*,?\s*\]?", text) and not text.isdecimal():
        return len(re.findall(r"\d+", text))
    return int(text) if text.isdecimal() and int(text) else None
