"""How a precision reaches a training command: flags, environment variables, a DeepSpeed config block.

Only to the command of a framework that is stated is anything added; a flag that the command already has is
respected.  As the frameworks read them (transformers 4 and 5, accelerate 1, lightning 2, DeepSpeed 0.1x):

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
from ...estimator.job.training import Framework
from .deepspeed import enabled_precision, find_config, merge_precision, parse_config
from .flags import flag_value, takes_no_flags
from .launchers import after_accelerate_launch

VARIABLE = "CLUSTERPLAN_PRECISION"
_PLACEHOLDER = "{precision}"
_OFF = {"false", "no", "off", "0", "f", "n"}
TRAINERS = (Framework.HF, Framework.HF_4_51)
_HF_FLAGS = {
    Precision.BF16: ("--bf16",),
    Precision.FP16: ("--fp16",),
    Precision.TF32: ("--tf32", "True"),
}
_ACCELERATE = {
    Precision.FP32: "no",
    Precision.TF32: "no",
    Precision.FP16: "fp16",
    Precision.BF16: "bf16",
    Precision.FP8: "fp8",
}
_LIGHTNING = {
    Precision.FP32: "32-true",
    Precision.TF32: "32-true",
    Precision.FP16: "16-mixed",
    Precision.BF16: "bf16-mixed",
    Precision.FP8: "transformer-engine",
}


@dataclass(frozen=True)
class PrecisionSettings:
    """What makes a command train in a precision.

    `config` replaces the content of the file that `find_config` finds, if it is not None; `note` is one line
    for the user.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    note: str
    config: Mapping[str, Any] | None = None


def precision_settings(
    precision: Precision,
    framework: Framework | None,
    possible_gpus: Sequence[Gpu],
    command: tuple[str, ...],
    config_text: str | None = None,
) -> PrecisionSettings:
    """Return how `command` trains in `precision`, on a GPU that is one of `possible_gpus`; `framework` is None if not stated.

    `config_text` is the content of the file that `find_config(command)` names.  Raises InputError if the
    command or that file states another precision.

    >>> job = precision_settings(Precision.BF16, Framework.HF, (), ("python", "train.py"))
    >>> job.command, job.note
    (('python', 'train.py', '--bf16'), 'precision bf16: --bf16 added to the command')
    """
    config = parse_config(config_text) if framework is Framework.DEEPSPEED else None
    own = any(_PLACEHOLDER in word for word in command)
    chosen = (shared_precision(possible_gpus) or precision) if precision is Precision.AUTO else precision
    stated = None if own else _stated(framework, command, config) or _off(framework, command, chosen)
    if stated and not _agree(precision, stated[0]):
        raise InputError(f"precision {precision} contradicts {stated[1]}: give one of them")
    if stated and precision is Precision.AUTO:
        chosen = stated[0] or Precision.AUTO
    plain = PrecisionSettings(command, {VARIABLE: str(chosen)}, "")
    if chosen is Precision.TF32:
        plain = replace(plain, environment={**plain.environment, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"})
    if stated and stated[0] in (None, chosen):
        settings = replace(plain, note=f"as {stated[1]} says")
    elif stated:
        settings = _only_exported(plain, f"{stated[1]} leaves it open")
    elif chosen is Precision.AUTO:
        settings = _only_exported(plain, "the GPU is not known")
    elif own:
        settings = _only_exported(plain, f"the command takes {_PLACEHOLDER} itself")
    else:
        settings = _set(plain, chosen, framework, config)
    is_auto = precision is Precision.AUTO and possible_gpus and not stated
    auto = f" (auto on {_named(possible_gpus)})" if is_auto else ""
    lacking = _lacking(chosen, possible_gpus)
    return replace(settings, note=f"precision {chosen}{auto}: {settings.note}{lacking}")


def _lacking(chosen: Precision, gpus: Sequence[Gpu]) -> str:
    if not gpus or chosen is Precision.AUTO or any(chosen in gpu.peak_flops for gpu in gpus):
        return ""
    lacks = "emulates bf16" if chosen is Precision.BF16 else f"has no {chosen} hardware"
    best = shared_precision(gpus)
    return f"; {_named(gpus)} {lacks}" + (f": {best} is native there" if best else "")


def _named(gpus: Sequence[Gpu]) -> str:
    return " or ".join(gpu.name for gpu in gpus)


def _agree(precision: Precision, stated: Precision | None) -> bool:
    # TF32 is how fp32 is multiplied: "no" and "32-true" leave it open.
    return precision in (Precision.AUTO, stated) or (precision, stated) == (Precision.TF32, Precision.FP32)


def _stated(
    framework: Framework | None, command: tuple[str, ...], config: Mapping[str, Any] | None
) -> tuple[Precision | None, str] | None:
    """The precision that the command of a stated framework already has (None: another), and what says so."""
    if framework in TRAINERS:
        for precision, flag in _HF_FLAGS.items():
            if (value := flag_value(command, flag[0])) is not None and value.lower() not in _OFF:
                return precision, f"{flag[0]} in the command"
    if framework in (*TRAINERS, Framework.ACCELERATE):
        return _spelled(command, "--mixed_precision", _ACCELERATE)
    if framework is Framework.LIGHTNING:
        return _spelled(command, "--trainer.precision", _LIGHTNING)
    if config is not None and (switched_on := enabled_precision(config)):
        return switched_on, f'"{switched_on}" enabled in {find_config(command)}'
    return None


def _off(
    framework: Framework | None, command: tuple[str, ...], chosen: Precision
) -> tuple[Precision | None, str] | None:
    """What is left, and what says so, where a Trainer's command switches the chosen precision off and none on."""
    flag, *_ = _HF_FLAGS.get(chosen, ("",)) if framework in TRAINERS else ("",)
    value = flag_value(command, flag) or ""
    left = None if chosen is Precision.TF32 else Precision.FP32  # what tf32 is not, fp32 agrees with
    return (left, f"{flag} {value} in the command") if value.lower() in _OFF else None


def _spelled(
    command: tuple[str, ...], flag: str, spellings: Mapping[Precision, str]
) -> tuple[Precision | None, str] | None:
    value = flag_value(command, flag)
    if value is None:
        return None
    source = f"{flag} {value} in the command"
    plain = value.removesuffix("-mixed").removesuffix("-true")  # Lightning knows "16" and "16-true" too
    for precision, spelling in spellings.items():
        if value == spelling or plain == spelling.partition("-")[0]:
            return precision, source
    return None, source


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
        return replace(
            settings, note=f"{settings.note}, which clusterplan.mixed_precision() in the script reads"
        )
    if (why_not := takes_no_flags(plain.command)) is not None:
        return _only_exported(plain, why_not)
    if framework is Framework.ACCELERATE:
        return _accelerate(plain, _ACCELERATE[chosen])
    if framework is Framework.LIGHTNING:
        return _lightning(plain, _LIGHTNING[chosen])
    return _trainer(plain, chosen)


def _trainer(plain: PrecisionSettings, chosen: Precision) -> PrecisionSettings:
    if chosen is Precision.FP32:
        return replace(plain, note="Trainer's own default")
    if chosen not in _HF_FLAGS:
        return _only_exported(plain, f"Trainer has no flag for {chosen}")
    return _added(plain, _HF_FLAGS[chosen], len(plain.command))


def _accelerate(plain: PrecisionSettings, value: str) -> PrecisionSettings:
    at = after_accelerate_launch(plain.command)
    if at is not None:
        return _added(plain, ("--mixed_precision", value), at)
    return _exported(
        plain,
        "ACCELERATE_MIXED_PRECISION",
        value,
        "no `accelerate launch`",
        "Accelerator(mixed_precision=...)",
    )


def _lightning(plain: PrecisionSettings, value: str) -> PrecisionSettings:
    if "fit" in plain.command or any(word.startswith("--trainer.") for word in plain.command):
        return _added(plain, ("--trainer.precision", value), len(plain.command))
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


def _added(plain: PrecisionSettings, words: tuple[str, ...], at: int) -> PrecisionSettings:
    command = (*plain.command[:at], *words, *plain.command[at:])
    return replace(plain, command=command, note=f"{' '.join(words)} added to the command")


def _exported(plain: PrecisionSettings, name: str, value: str, why: str, wins: str) -> PrecisionSettings:
    environment = {**plain.environment, name: value}
    return replace(
        plain, environment=environment, note=f"{name}={value} exported ({why}); {wins} in the script wins"
    )


def _only_exported(plain: PrecisionSettings, why: str) -> PrecisionSettings:
    names = " ".join(f"{name}={value}" for name, value in plain.environment.items())
    return replace(plain, note=f"{why}; only {names} exported")
