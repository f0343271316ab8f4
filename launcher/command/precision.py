"""How a precision reaches a training command: flags, environment variables, a DeepSpeed config block.

Flags are added only if the precision and the framework are stated, and a flag that the command has is respected.  As
the frameworks read them (transformers 4 and 5, accelerate 1, lightning 2, DeepSpeed 0.1x):

| framework | set by |
|---|---|
| HF Trainer | `--bf16`, `--fp16`, `--tf32 True` at the end |
| Accelerate | `--mixed_precision` of `accelerate launch`, which exports "no" without it; else ACCELERATE_MIXED_PRECISION |
| Lightning | `--trainer.precision` of LightningCLI; else PL_TRAINER_PRECISION, the default of Trainer(precision=) |
| DeepSpeed | the `bf16` and `fp16` blocks of the JSON file that the command names |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...cluster_profiles.gpu import Gpu, shared_precision
from ...cluster_profiles.precision import Precision
from ...errors import InputError
from ...estimator.job.framework import TRAINERS, Framework
from .deepspeed import find_config, merge_precision, parse_config
from .flags import option_words, takes_no_flags
from .processes.launcher import after_accelerate_launch
from .processes.program import find_program, with_arguments
from .stated_precision import (
    ACCELERATE_VALUES,
    LIGHTNING_VALUES,
    TRAINER_FLAGS,
    read_stated_precision,
)

VARIABLE = "CLUSTERPLAN_PRECISION"
_PLACEHOLDER = "{precision}"


@dataclass(frozen=True)
class PrecisionSettings:
    """The command, the environment and the config file that make a command train in a precision.

    `config` replaces the content of the file that `find_config` finds, if it is not None; `note` is one line
    for the user.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    note: str
    config: Mapping[str, Any] | None = None


def precision_settings(
    precision: Precision | None,
    framework: Framework | None,
    possible_gpus: Sequence[Gpu],
    command: tuple[str, ...],
    config_text: str | None = None,
) -> PrecisionSettings:
    """Return the settings that make `command` train in `precision` on one of `possible_gpus`.

    `precision` and `framework` are None if the user stated none; without a precision the command is left as it is, and
    the note says what "auto" would do.  `config_text` is the content of the file that `find_config(command)` names.
    Raises InputError if the command or that file says another precision.

    >>> job = precision_settings(Precision.BF16, Framework.HF, (), ("python", "train.py"))
    >>> job.command, job.note
    (('python', 'train.py', '--bf16'), 'precision bf16: --bf16 added to the command')
    >>> precision_settings(None, Framework.HF, (), ("python", "train.py")).command
    ('python', 'train.py')
    """
    config = parse_config(config_text) if framework is Framework.DEEPSPEED else None
    has_placeholder = any(_PLACEHOLDER in word for word in command)
    automatic = precision in (None, Precision.AUTO)
    chosen = (shared_precision(possible_gpus) if automatic else precision) or Precision.AUTO
    stated = None if has_placeholder else read_stated_precision(framework, command, config, chosen)
    if stated and not stated.agrees_with(precision or Precision.AUTO):
        raise InputError(f"precision {precision} contradicts {stated.source}: give one of them")
    if stated and automatic:
        chosen = stated.precision or Precision.AUTO
    plain = PrecisionSettings(command, {VARIABLE: str(chosen)}, "")
    if chosen is Precision.TF32:
        plain = replace(plain, environment={**plain.environment, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"})
    if stated and stated.precision in (None, chosen):
        settings = replace(plain, note=f"as {stated.source} says")
    elif stated:
        settings = _only_exported(plain, f"{stated.source} leaves it open")
    elif chosen is Precision.AUTO:
        settings = _only_exported(plain, "the GPU is not known")
    elif has_placeholder:
        settings = _only_exported(plain, f"the command takes {_PLACEHOLDER} itself")
    else:
        settings = _set(plain, chosen, framework, config)
    on = f" on {_join_gpu_names(possible_gpus)}" if possible_gpus and automatic and not stated else ""
    if precision is None and not stated and not has_placeholder:
        return replace(plain, note=_note_if_unstated(chosen, on, settings, plain))
    auto = f" (auto{on})" if on else ""
    warning = _hardware_warning(chosen, possible_gpus)
    return replace(settings, note=f"precision {chosen}{auto}: {settings.note}{warning}")


def _note_if_unstated(
    chosen: Precision, on: str, settings: PrecisionSettings, plain: PrecisionSettings
) -> str:
    unchanged = "precision is not stated: the command stays as it is"
    if chosen is Precision.AUTO:
        return unchanged
    changes = settings != replace(plain, note=settings.note)
    would = f" ({settings.note})" if changes else ""
    return f"{unchanged}; --precision auto would choose {chosen}{on}{would}"


def _hardware_warning(chosen: Precision, possible_gpus: Sequence[Gpu]) -> str:
    if (
        not possible_gpus
        or chosen is Precision.AUTO
        or any(chosen in gpu.peak_flops for gpu in possible_gpus)
    ):
        return ""
    lacks = "emulates bf16" if chosen is Precision.BF16 else f"has no {chosen} hardware"
    best = shared_precision(possible_gpus)
    return f"; {_join_gpu_names(possible_gpus)} {lacks}" + (f": {best} is native there" if best else "")


def _join_gpu_names(possible_gpus: Sequence[Gpu]) -> str:
    """Return the names of GPUs; those of one family, such as all A100, by that."""
    families = {gpu.name.partition("-")[0] for gpu in possible_gpus}
    return (
        families.pop()
        if len(possible_gpus) > 1 == len(families)
        else " or ".join(gpu.name for gpu in possible_gpus)
    )


def _set(
    plain: PrecisionSettings, chosen: Precision, framework: Framework | None, config: Mapping[str, Any] | None
) -> PrecisionSettings:
    if framework is Framework.DEEPSPEED:
        return _deepspeed(plain, chosen, config)
    if framework not in (*TRAINERS, Framework.ACCELERATE, Framework.LIGHTNING):
        why = (
            "no framework is stated" if framework is None else f'framework "{framework}" has no option for it'
        )
        settings = _only_exported(plain, why)
        return replace(settings, note=f"{settings.note}, as clusterplan.mixed_precision() does")
    if (why_not := takes_no_flags(plain.command)) is not None:
        return _only_exported(plain, why_not)
    if framework is Framework.ACCELERATE:
        return _accelerate(plain, ACCELERATE_VALUES[chosen])
    if framework is Framework.LIGHTNING:
        return _lightning(plain, LIGHTNING_VALUES[chosen])
    return _trainer(plain, chosen)


def _trainer(plain: PrecisionSettings, chosen: Precision) -> PrecisionSettings:
    if chosen is Precision.FP32:
        return replace(plain, note="Trainer's own default")
    if chosen not in TRAINER_FLAGS:
        return _only_exported(plain, f"Trainer has no flag for {chosen}")
    return _added(plain, TRAINER_FLAGS[chosen])


def _accelerate(plain: PrecisionSettings, value: str) -> PrecisionSettings:
    program = find_program(plain.command)
    at = after_accelerate_launch(program.words)
    if at is not None:
        words = ("--mixed_precision", value)
        return _noted(plain, program.with_words((*program.words[:at], *words, *program.words[at:])), words)
    return _exported(
        plain,
        "ACCELERATE_MIXED_PRECISION",
        value,
        "no `accelerate launch`",
        "Accelerator(mixed_precision=...)",
    )


def _lightning(plain: PrecisionSettings, value: str) -> PrecisionSettings:
    words = option_words(plain.command)
    if "fit" in words or any(word.startswith("--trainer.") for word in words):
        return _added(plain, ("--trainer.precision", value))
    return _exported(plain, "PL_TRAINER_PRECISION", value, "no LightningCLI", "Trainer(precision=...)")


def _deepspeed(
    plain: PrecisionSettings, chosen: Precision, config: Mapping[str, Any] | None
) -> PrecisionSettings:
    path = find_config(plain.command)
    if path is None:
        return _only_exported(plain, "the command names no --deepspeed_config FILE.json")
    if config is None:
        return _only_exported(plain, f"{path} cannot be read as JSON")
    if chosen is Precision.FP8:
        return _only_exported(plain, "DeepSpeed's config has no fp8 block")
    return replace(plain, config=merge_precision(config, chosen), note=f"set in a copy of {path}")


def _added(plain: PrecisionSettings, words: tuple[str, ...]) -> PrecisionSettings:
    return _noted(plain, with_arguments(plain.command, words), words)


def _noted(plain: PrecisionSettings, command: tuple[str, ...], words: tuple[str, ...]) -> PrecisionSettings:
    return replace(plain, command=command, note=f"{' '.join(words)} added to the command")


def _exported(plain: PrecisionSettings, name: str, value: str, why: str, wins: str) -> PrecisionSettings:
    environment = {**plain.environment, name: value}
    return replace(
        plain, environment=environment, note=f"{name}={value} exported ({why}); {wins} in the script wins"
    )


def _only_exported(plain: PrecisionSettings, why: str) -> PrecisionSettings:
    names = " ".join(f"{name}={value}" for name, value in plain.environment.items())
    return replace(plain, note=f"the command is unchanged ({why}); the script can read {names}")
