"""DeepSpeed's JSON config: batches, ZeRO, precision, optimizer.  Pure.

Keys and defaults are those of DeepSpeed at 01ccf33 (https://github.com/deepspeedai/DeepSpeed: runtime/config.py,
runtime/zero/config.py; https://www.deepspeed.ai/docs/config-json/).
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ....errors import InputError
from ..recipe import Recipe, Setting
from .optimizer import read_optimizer

_MICRO, _GLOBAL = "train_micro_batch_size_per_gpu", "train_batch_size"
_ACCUMULATION = "gradient_accumulation_steps"
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|#[^\n]*|,(?=\s*[}\]])', re.DOTALL)


def parse_deepspeed_json(text: str, name: str) -> Mapping[str, Any]:
    """Return the config; comments and trailing commas, which are no JSON, are passed over.  Raises InputError.

    >>> parse_deepspeed_json('{"zero_optimization": {"stage": 2,}, // ZeRO\\n}', "ds.json")
    {'zero_optimization': {'stage': 2}}
    """
    plain = text
    for _ in range(2):  # a comment may stand after a trailing comma
        plain = _COMMENT.sub(lambda match: match[1] or "", plain)
    try:
        values = json.loads(plain)
    except ValueError as error:
        raise InputError(f"{name}: is no JSON config of DeepSpeed: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{name}: is no JSON config of DeepSpeed: it must hold a table")
    return values


def is_deepspeed_json(values: Mapping[str, Any]) -> bool:
    """Return whether a table of JSON is such a config."""
    return bool({"zero_optimization", _MICRO, _GLOBAL} & values.keys())


def read_deepspeed_config(values: Mapping[str, Any], name: str) -> Recipe:
    """Return what the config says; what is "auto" there is said by the trainer.

    >>> recipe = read_deepspeed_config({"zero_optimization": {"stage": 3}, "bf16": {"enabled": True}}, "z3.json")
    >>> [(key, setting.value, setting.source) for key, setting in recipe.settings.items()]
    [('training.zero_stage', 3, 'z3.json: zero_optimization.stage'), ('training.precision', 'bf16', 'z3.json: bf16.enabled')]
    """
    recipe = Recipe.of(*_batches(values, name), *_zero(values, name), *_precision(values, name))
    optimizer = values.get("optimizer")
    if isinstance(optimizer, Mapping) and isinstance(optimizer.get("type"), str):
        return recipe.over(read_optimizer(optimizer["type"], f"{name}: optimizer.type"))
    return recipe


def _batches(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    stated = {key: _count(values.get(key)) for key in (_MICRO, _GLOBAL, _ACCUMULATION)}
    keys = {
        _MICRO: "training.batch_size",
        _GLOBAL: "training.global_batch",
        _ACCUMULATION: "training.accumulation",
    }
    yield from (Setting(keys[key], count, f"{name}: {key}") for key, count in stated.items() if count)


def _zero(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    zero = values.get("zero_optimization")
    if isinstance(zero, Mapping):
        stage = _count(zero.get("stage")) or 0
        yield Setting("training.zero_stage", stage, f"{name}: zero_optimization.stage")
        offloads = []
        for part, what in (("offload_optimizer", "optimizer"), ("offload_param", "parameters")):
            block = zero.get(part)
            if isinstance(block, Mapping) and block.get("device", "none") in ("cpu", "nvme"):
                offloads.append(what)
        if zero.get("cpu_offload") is True and "optimizer" not in offloads:  # its name before 0.3.16
            offloads.append("optimizer")
        if offloads:
            yield Setting("training.offload", tuple(offloads), f"{name}: zero_optimization.offload_...")
    parallel = values.get("tensor_parallel")
    if isinstance(parallel, Mapping) and (size := _count(parallel.get("autotp_size"))):
        yield Setting("training.tensor_parallel", size, f"{name}: tensor_parallel.autotp_size")


def _precision(values: Mapping[str, Any], name: str) -> Iterator[Setting]:
    for precision in ("bf16", "bfloat16", "fp16"):
        block = values.get(precision)
        if isinstance(block, Mapping) and block.get("enabled") is True:
            yield Setting(
                "training.precision", precision.replace("bfloat16", "bf16"), f"{name}: {precision}.enabled"
            )


def _count(value: object) -> int | None:
    """Numbers may be floats such as 5e8."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else None
