"""torchtitan's TOML.  Pure.

Names and defaults were read in torchtitan at 238fa99 and b5bcd76 (https://github.com/pytorch/torchtitan,
torchtitan/config_manager.py); `--table.key value` behind it stands over its keys.
"""

import math
from collections.abc import Iterator, Mapping

from ...arguments import Arguments, find_number
from ...recipe import Question, Recipe, Setting
from ..surroundings import Surroundings

_NAME = "torchtitan"
_MODULE = "torchtitan.train"
_PARALLEL = ("tensor_parallel", "pipeline_parallel", "context_parallel")
_USUAL_GPUS = 8  # NGPU of run_train.sh


def is_torchtitan(program: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of torchtitan."""
    tables = {name.partition(".")[0] for name in arguments}
    return program == _MODULE or (
        "training" in tables and bool({"parallelism", "activation_checkpoint", "job"} & tables)
    )


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments; the batch was called otherwise before June 2025."""
    batch = "training.batch_size" if "training.batch_size" in arguments else "training.local_batch_size"
    return {batch: "{batch_size}", "training.steps": "{max_steps}", "job.dump_folder": "{output}"}


def read_torchtitan(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the config says, and the defaults of keys that are absent.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> config = {"training": {"batch_size": 2, "steps": 3000}, "parallelism": {"tensor_parallel_degree": 8}}
    >>> recipe = read_torchtitan(list_arguments(config, "llama3.toml", {}), Surroundings())
    >>> [recipe.value(key) for key in ("training.batch_size", "training.tensor_parallel", "training.zero_stage", "data.seq_len")]
    [2, 8, 3, 2048]
    """
    if not any(name.startswith("training.") for name in arguments):
        why = f"{_NAME} since February 2026 has its settings in Python: give them here"
        keys = ("training.batch_size", "training.max_steps", "data.seq_len")
        return Recipe(questions=tuple(Question(key, why) for key in keys)).over(
            Recipe.of(Setting("training.framework", "torch", _NAME))
        )
    recipe = Recipe.of(
        *_number(arguments, "training.batch_size", 8, "training.local_batch_size", "training.batch_size"),
        *_global_batch(arguments),
        *_number(arguments, "data.seq_len", 2048, "training.seq_len"),
        *_number(arguments, "training.max_steps", 10_000, "training.steps"),
        *_parallel(arguments),
        *_states(arguments),
        *_pauses(arguments),
        Setting("training.framework", "torch", f"{_NAME} has a loop of its own"),
        Setting("run.bootstrap", "torchrun", f"as {_NAME}'s run_train.sh starts it"),
        remarks=tuple(_remarks(arguments)),
    )
    replica = math.prod(int(recipe.value(f"training.{name}") or 1) for name in _PARALLEL)
    if around.gpus is None:
        multiple = f", a multiple of {replica}" if replica > 1 else ""
        why = f"the config does not state how many GPUs there are{multiple}"
        return recipe.asking(Question("training.gpus", why, max(replica, _USUAL_GPUS)))
    if around.gpus % replica:
        why = f"{around.gpus} GPUs are no multiple of tensor x pipeline x context parallel = {replica}"
        return recipe.asking(Question("training.gpus", why, math.lcm(around.gpus, replica)))
    return recipe


def _number(arguments: Arguments, key: str, default: int, *names: str) -> Iterator[Setting]:
    absent = f"{_NAME}'s default: {names[0]} is not given"
    yield Setting(key, *(find_number(arguments, *names) or (default, absent)))


def _global_batch(arguments: Arguments) -> Iterator[Setting]:
    if (batch := find_number(arguments, "training.global_batch_size")) and batch[0] > 0:
        yield Setting("training.global_batch", *batch)


def _degree(arguments: Arguments, name: str) -> tuple[int | float, str] | None:
    return find_number(
        arguments, f"parallelism.{name}_degree", f"training.{name}_degree", f"experimental.{name}_degree"
    )


def _parallel(arguments: Arguments) -> Iterator[Setting]:
    for name in _PARALLEL:
        if (size := _degree(arguments, name)) and size[0] > 1:
            yield Setting(f"training.{name}", *size)
    shards = _degree(arguments, "data_parallel_shard") or (-1, f"{_NAME}'s default: all GPUs shard")
    yield Setting("training.zero_stage", 0 if shards[0] == 1 else 3, shards[1])


def _states(arguments: Arguments) -> Iterator[Setting]:
    converters = arguments.get("model.converters")
    param = arguments.get("training.mixed_precision_param")
    if converters and "float8" in str(converters.value):
        yield Setting("training.precision", "fp8", converters.source)
    elif param and str(param.value) == "float32":
        yield Setting("training.precision", "fp32", param.source)
    else:
        yield Setting(
            "training.precision",
            "bf16",
            param.source if param else f"{_NAME}'s default of mixed_precision_param",
        )
    mode = arguments.get("activation_checkpoint.mode")
    if mode and mode.value == "full":
        yield Setting("training.recompute", value=True, source=mode.source)


def _pauses(arguments: Arguments) -> Iterator[Setting]:
    names = ("checkpoint.enable", "checkpoint.enable_checkpoint")
    enable = next((arguments[name] for name in names if name in arguments), None)
    if enable and enable.is_on:
        yield from _number(arguments, "checkpoint.every_steps", 500, "checkpoint.interval")
    else:
        absent = f"{_NAME}'s default: checkpoint.enable is not given"
        yield Setting("checkpoint.every_steps", 0, enable.source if enable else absent)
    if folder := arguments.get("job.dump_folder"):
        yield Setting("checkpoint.folder", folder.value, folder.source)
    validates = arguments.get("validation.enable", arguments.get("validation.enabled"))
    if validates and validates.is_on:
        yield from _number(arguments, "evaluation.every_steps", 10, "validation.freq")
    else:
        yield Setting(
            "evaluation.every_steps", 0, validates.source if validates else f"{_NAME}'s default: none"
        )


def _remarks(arguments: Arguments) -> Iterator[str]:
    mode = arguments.get("activation_checkpoint.mode")
    if mode is None or mode.value == "selective":
        source = mode.source if mode else f"{_NAME}'s default of activation_checkpoint.mode"
        yield f"{source}: selective: some activations are recomputed, counted as none"
    if size := find_number(arguments, "parallelism.expert_parallel_degree"):
        yield f"{size[1]} is not taken: expert_parallel needs architecture.parameters and active_parameters"
    if flavor := arguments.get("model.flavor"):
        yield f"{flavor.source} is {flavor.value}: give architecture.parameters for a prior of time and memory"
