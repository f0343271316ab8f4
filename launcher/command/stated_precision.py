"""The precision that a training command states already, in the words of its framework.

| framework | stated by |
|---|---|
| HF Trainer | `--bf16`, `--fp16`, `--tf32`; also `--mixed_precision` of `accelerate launch` |
| Accelerate | `--mixed_precision` of `accelerate launch` |
| Lightning | `--trainer.precision` of LightningCLI |
| DeepSpeed | the `bf16` and `fp16` blocks of the JSON file that the command names |
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...cluster_profiles.precision import Precision
from ...estimator.job.framework import TRAINERS, Framework
from .deepspeed import enabled_precision, find_config
from .flags import flag_value

_OFF = {"false", "no", "off", "0", "f", "n"}
TRAINER_FLAGS = {
    Precision.BF16: ("--bf16",),
    Precision.FP16: ("--fp16",),
    Precision.TF32: ("--tf32", "True"),
}
ACCELERATE_VALUES = {
    Precision.FP32: "no",
    Precision.TF32: "no",
    Precision.FP16: "fp16",
    Precision.BF16: "bf16",
    Precision.FP8: "fp8",
}
LIGHTNING_VALUES = {
    Precision.FP32: "32-true",
    Precision.TF32: "32-true",
    Precision.FP16: "16-mixed",
    Precision.BF16: "bf16-mixed",
    Precision.FP8: "transformer-engine",
}


class StatedPrecision(NamedTuple):
    """The precision that a command states, and where; `precision` is None if it is another than ours."""

    precision: Precision | None
    source: str

    def agrees_with(self, requested: Precision) -> bool:
        """Return whether a job may ask for `requested` as well."""
        # TF32 is how fp32 is multiplied: "no" and "32-true" leave it open.
        as_fp32 = (requested, self.precision) == (Precision.TF32, Precision.FP32)
        return requested in (Precision.AUTO, self.precision) or as_fp32


def read_stated_precision(
    framework: Framework | None,
    command: tuple[str, ...],
    config: Mapping[str, Any] | None,
    chosen: Precision,
) -> StatedPrecision | None:
    """Return the precision that `command` states, in the words of `framework`; None if it states none.

    `config` is the DeepSpeed config.  A Trainer's command that only switches `chosen` off states fp32.

    >>> read_stated_precision(Framework.HF, ("train", "--fp16"), None, Precision.BF16)
    StatedPrecision(precision=<Precision.FP16: 'fp16'>, source='--fp16 in the command')
    """
    return _switched_on(framework, command, config) or _switched_off(framework, command, chosen)


def _switched_on(
    framework: Framework | None, command: tuple[str, ...], config: Mapping[str, Any] | None
) -> StatedPrecision | None:
    if framework in TRAINERS:
        for precision, flag in TRAINER_FLAGS.items():
            if (value := flag_value(command, flag[0])) is not None and value.lower() not in _OFF:
                return StatedPrecision(precision, f"{flag[0]} in the command")
    if framework in (*TRAINERS, Framework.ACCELERATE):
        return _spelled(command, "--mixed_precision", ACCELERATE_VALUES)
    if framework is Framework.LIGHTNING:
        return _spelled(command, "--trainer.precision", LIGHTNING_VALUES)
    enabled = enabled_precision(config) if config is not None else None
    if enabled:
        return StatedPrecision(enabled, f'"{enabled}" enabled in {find_config(command)}')
    return None


def _switched_off(
    framework: Framework | None, command: tuple[str, ...], chosen: Precision
) -> StatedPrecision | None:
    flag, *_ = TRAINER_FLAGS.get(chosen, ("",)) if framework in TRAINERS else ("",)
    value = flag_value(command, flag) or ""
    if value.lower() not in _OFF:
        return None
    precision = (
        None if chosen is Precision.TF32 else Precision.FP32
    )  # tf32 agrees with fp32, but not with "no tf32"
    return StatedPrecision(precision, f"{flag} {value} in the command")


def _spelled(
    command: tuple[str, ...], flag: str, spellings: Mapping[Precision, str]
) -> StatedPrecision | None:
    value = flag_value(command, flag)
    if value is None:
        return None
    plain = value.removesuffix("-mixed").removesuffix("-true")  # Lightning knows "16" and "16-true" too
    matches = (
        p for p, spelling in spellings.items() if value == spelling or plain == spelling.partition("-")[0]
    )
    return StatedPrecision(next(matches, None), f"{flag} {value} in the command")
