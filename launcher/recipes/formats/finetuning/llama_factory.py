"""LLaMA-Factory: Trainer's arguments under its own names and defaults, and the arguments of its second version.  Pure.

Names and defaults were read in LLaMA-Factory at ff6d4d1 (https://github.com/hiyouga/LLaMA-Factory: hparams/, launcher.py,
v1/config/); words behind a YAML are `key=value` for OmegaConf.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...arguments import Argument, Arguments, find_number
from ...recipe import Question, Recipe, Setting
from ..hf_trainer import TrainerDefaults, read_trainer
from ..surroundings import Surroundings
from ..trainer_files import add_trainer_files
from .adapter import name_model, note_adapter

_NAME = "LLaMA-Factory"
_SIGNS = {"stage", "finetuning_type", "cutoff_len", "template", "dataset_dir"}
_FEWEST_SIGNS = 2
_CUTOFF = 2048
_PARALLEL = {
    "tensor_model_parallel_size": "tensor_parallel",
    "pipeline_model_parallel_size": "pipeline_parallel",
    "context_parallel_size": "context_parallel",
    "expert_model_parallel_size": "expert_parallel",
}


def is_llama_factory(_: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of LLaMA-Factory."""
    return len(_SIGNS & arguments.keys()) >= _FEWEST_SIGNS or is_second_version(arguments)


def is_second_version(arguments: Arguments) -> bool:
    """Return whether arguments are those of its second version, which runs with USE_V1=1."""
    return {"model", "train_dataset"} <= arguments.keys()


def command_of(config: str, arguments: Arguments) -> tuple[str, ...]:
    """Return the launch line of a config by itself; DeepSpeed needs torchrun also on one GPU."""
    if is_second_version(arguments):
        return ("env", "USE_V1=1", "llamafactory-cli", "sft", config)
    return ("env", "FORCE_TORCHRUN=1", "llamafactory-cli", "train", config)


def placeholders_of(arguments: Arguments) -> dict[str, str]:
    """Return the placeholders that stand in place of arguments."""
    if is_second_version(arguments):
        return {"micro_batch_size": "{batch_size}", "output_dir": "{output}"}
    return {
        "per_device_train_batch_size": "{batch_size}",
        "gradient_accumulation_steps": "{accumulation}",
        "output_dir": "{output}",
    }


def read_llama_factory(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the arguments say, and the defaults of those that are absent.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> config = {"stage": "sft", "dataset": "a,b", "max_samples": 1000, "val_size": 0.1, "eval_strategy": "epoch", "bf16": True}
    >>> recipe = read_llama_factory(list_arguments(config, "sft.yaml", {}), Surroundings())
    >>> [recipe.value(key) for key in ("data.seq_len", "data.validation_share", "training.recompute", "evaluation.every_epochs")]
    [2048, 0.1, True, 1]
    >>> [question.why for question in recipe.questions]
    ['at most 2 x 1,000 by max_samples: the samples per epoch after filters are known only then']
    """
    if is_second_version(arguments):
        return _read_second_version(arguments, around)
    own = {key: value for key, value in arguments.items() if key not in ("gradient_checkpointing", "packing")}
    recipe = read_trainer(own, TrainerDefaults(_NAME))
    recipe = Recipe.of(*_states(arguments), *_lengths(arguments), *_evaluations(arguments)).over(recipe)
    recipe = recipe.over(_samples(arguments)).over(_method(arguments))
    recipe = add_trainer_files(recipe, arguments, around)
    prefix = "" if around.config else "--"
    words = (f"{prefix}resume_from_checkpoint={{latest}}",)
    return recipe.set(Setting("run.resume", words, f"{_NAME}'s argument")).over(_bootstrap(around))


def _bootstrap(around: Surroundings) -> Recipe:
    if not around.program.startswith(("llamafactory-cli ", "lmf ")):
        return Recipe()
    return Recipe.of(Setting("run.bootstrap", "single", f"{_NAME} starts a process per GPU itself"))


def _is_packed(arguments: Arguments) -> bool:
    packing = arguments.get("packing")
    if (neat := arguments.get("neat_packing")) and neat.is_on:
        return True
    by_stage = "stage" in arguments and arguments["stage"].value == "pt"
    return packing.is_on if packing else by_stage


def _lengths(arguments: Arguments) -> Iterator[Setting]:
    length = find_number(arguments, "cutoff_len")
    number, source = length or (_CUTOFF, f"{_NAME}'s default: cutoff_len is not given")
    most = "" if _is_packed(arguments) else ", at most: see mean_tokens"
    yield Setting("data.seq_len", number, f"{source}{most}")


def _states(arguments: Arguments) -> Iterator[Setting]:
    off = arguments.get("disable_gradient_checkpointing")
    if off is None or not off.is_on:
        absent = f"{_NAME}'s default: disable_gradient_checkpointing is not given"
        yield Setting("training.recompute", value=True, source=off.source if off else absent)
    pure = arguments.get("pure_bf16")
    if pure and pure.is_on:
        yield Setting("training.precision", "bf16", pure.source)
        yield Setting("training.master_weights", value=False, source=pure.source)
    elif not any(name in arguments for name in ("bf16", "fp16")):
        absent = f"{_NAME}'s default: neither bf16 nor fp16 is given"
        yield Setting("training.precision", "fp32", absent)
    for name, ours in _PARALLEL.items():  # with USE_MCA=1
        if (size := find_number(arguments, name)) and size[0] > 1:
            yield Setting(f"training.{ours}", *size)


def _evaluations(arguments: Arguments) -> Iterator[Setting]:
    """Nothing is evaluated without data for it, whatever eval_strategy says."""
    size = find_number(arguments, "val_size")
    has_size = size is not None and size[0] > 0
    if not has_size and "eval_dataset" not in arguments:
        yield Setting(
            "evaluation.every_steps", 0, f"{_NAME} evaluates nothing without val_size or eval_dataset"
        )
    elif size and 0 < size[0] < 1:
        yield Setting("data.validation_share", *size)
    elif size and has_size:
        yield Setting("evaluation.samples", *size)


def _samples(arguments: Arguments) -> Recipe:
    """max_samples caps each data set: a bound, and no count."""
    names = arguments.get("dataset")
    cap = find_number(arguments, "max_samples")
    unit = "packed sequences per epoch (or data.tokens)" if _is_packed(arguments) else "samples per epoch"
    if names is None:
        return Recipe()
    sets = (
        names.value
        if isinstance(names.value, list)
        else [n for n in str(names.value).split(",") if n.strip()]
    )
    if cap is None:
        why = f"{unit} of {', '.join(str(name).strip() for name in sets)}, after filters, splits and packing"
        return Recipe(questions=(Question("data.samples", why),))
    most = int(cap[0]) * len(sets)
    why = (
        f"at most {len(sets)} x {int(cap[0]):,} by max_samples: the {unit} after filters are known only then"
    )
    proposal = None if _is_packed(arguments) else most - _held_out(arguments)
    return Recipe(questions=(Question("data.samples", why, proposal),))


def _held_out(arguments: Arguments) -> int:
    size = find_number(arguments, "val_size")
    return int(size[0]) if size and size[0] >= 1 else 0


def _method(arguments: Arguments) -> Recipe:
    method = arguments.get("finetuning_type", Argument("", "lora", f"{_NAME}'s default of finetuning_type"))
    bits = find_number(arguments, "quantization_bit")
    recipe = note_adapter(
        str(method.value), method.source, int(bits[0]) if bits else None, bits[1] if bits else ""
    )
    model = name_model(arguments, "model_name_or_path")
    return recipe if model is None else recipe.set(Setting("model", model, "model_name_or_path"))


def _read_second_version(arguments: Arguments, around: Surroundings) -> Recipe:
    """Its second version has a loop of its own; a global batch is that of all GPUs."""

    def number(key: str, name: str, default: Any = None) -> Iterator[Setting]:
        found = find_number(arguments, name)
        if found:
            yield Setting(key, *found)
        elif default is not None:
            yield Setting(key, default, f"{_NAME}'s default: {name} is not given")

    steps = find_number(arguments, "max_steps")
    has_steps = steps is not None and steps[0] > 0
    settings = [
        *number("training.batch_size", "micro_batch_size", 1),
        *number("training.global_batch", "global_batch_size"),
        *number("data.seq_len", "cutoff_len", _CUTOFF),
        *(
            number("training.max_steps", "max_steps")
            if has_steps
            else number("training.epochs", "num_train_epochs", 3)
        ),
        *number("training.context_parallel", "cp_size"),
        *number("checkpoint.every_steps", "save_steps"),
        *number("checkpoint.every_epochs", "save_epochs"),
    ]
    if "save_steps" not in arguments and "save_epochs" not in arguments:
        settings.append(
            Setting("checkpoint.every_steps", 0, f"{_NAME}'s default: no save_steps, no save_epochs")
        )
    bf16 = arguments.get("bf16", Argument("bf16", value=True, source=f"{_NAME}'s default of bf16"))
    settings.append(Setting("training.precision", "fp32" if bf16.is_off else "bf16", bf16.source))
    name = "enable_activation_checkpointing"
    recompute = arguments.get(name, Argument(name, value=True, source=f"{_NAME}'s default of {name}"))
    if not recompute.is_off:
        settings.append(Setting("training.recompute", value=True, source=recompute.source))
    kind = arguments.get("dist_config.name")
    if kind and str(kind.value).startswith("fsdp"):
        settings.append(Setting("training.zero_stage", 3, kind.source))
    settings.append(Setting("training.framework", "torch", f"{_NAME}'s second version has a loop of its own"))
    if output := arguments.get("output_dir"):
        settings.append(Setting("checkpoint.folder", output.value, output.source))
    recipe = Recipe.of(*settings)
    config = arguments.get("dist_config.config_file")
    if config and isinstance(config.value, str):
        named = {"deepspeed": replace(config, name="deepspeed")}
        recipe = recipe.over(add_trainer_files(Recipe(), named, replace(around, on_line=False)))
    if model := name_model(arguments, "model"):
        recipe = recipe.set(Setting("model", model, arguments["model"].source))
    return recipe.over(_bootstrap(around))
