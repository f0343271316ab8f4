"""The precision blocks of a DeepSpeed config file, as values: who reads and writes files is elsewhere."""

import json
from collections.abc import Mapping
from typing import Any

from ...cluster_profiles.precision import Precision
from .flags import flag_value, with_flag_value

_FLAGS = ("--deepspeed_config", "--deepspeed")
_FP16_BLOCK = {
    "enabled": True,
    "loss_scale": 0,  # dynamic
    "initial_scale_power": 16,
    "loss_scale_window": 1000,
    "hysteresis": 2,
    "min_loss_scale": 1,
}


def find_config(command: tuple[str, ...]) -> str | None:
    """Return the JSON config file that `command` names; None if it names none.

    >>> find_config(("python", "train.py", "--deepspeed", "--deepspeed_config", "ds.json"))
    'ds.json'
    """
    flag = _flag(command)
    return flag_value(command, flag) if flag else None


def with_config(command: tuple[str, ...], path: str) -> tuple[str, ...]:
    """Return `command` with the config file that it names replaced by `path`."""
    flag = _flag(command)
    return with_flag_value(command, flag, path) if flag else command


def parse_config(text: str | None) -> Mapping[str, Any] | None:
    """Return the config in `text`; None if it is no JSON table."""
    try:
        values = json.loads(text) if text is not None else None
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def enabled_precision(config: Mapping[str, Any]) -> Precision | None:
    """Return the 16-bit format that the config switches on; "auto", which Trainer fills in, is none."""
    formats = (Precision.BF16, Precision.FP16)
    return next((p for p in formats if _block(config, p).get("enabled") is True), None)


def merge_precision(config: Mapping[str, Any], precision: Precision) -> dict[str, Any]:
    """Return `config` for training in `precision`: of its two blocks, which exclude each other, one or none is enabled.

    >>> merge_precision({"bf16": {"enabled": "auto"}, "zero_optimization": {"stage": 2}}, Precision.BF16)
    {'bf16': {'enabled': True}, 'zero_optimization': {'stage': 2}, 'fp16': {'enabled': False}}
    """
    scaling = _FP16_BLOCK if precision is Precision.FP16 else {}
    return {
        **config,
        "bf16": {**_block(config, Precision.BF16), "enabled": precision is Precision.BF16},
        "fp16": {**scaling, **_block(config, Precision.FP16), "enabled": precision is Precision.FP16},
    }


def _block(config: Mapping[str, Any], precision: Precision) -> Mapping[str, Any]:
    block = config.get(str(precision))
    return block if isinstance(block, dict) else {}


def _flag(command: tuple[str, ...]) -> str | None:
    return next((flag for flag in _FLAGS if (flag_value(command, flag) or "").endswith(".json")), None)
