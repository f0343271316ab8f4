"""The arguments of ms-swift's `megatron sft`, `pt` and `rlhf`: Megatron's under names and defaults of its own.  Pure.

Names and defaults were read in ms-swift 3.9 to 4.5 (https://github.com/modelscope/ms-swift, swift/megatron/arguments;
https://swift.readthedocs.io/en/latest/Megatron-SWIFT/Command-line-parameters.html).
"""

import re
from collections.abc import Iterator, Mapping

from ...arguments import Arguments, find_number
from ...recipe import Question, Recipe, Setting
from ..pretraining.megatron import read_parallel, read_sharding
from ..surroundings import Surroundings
from .ms_swift import DTYPES, evaluates, read_method, read_samples

_NAME = "ms-swift"
_SAVES, _LENGTHS = ("save_steps", "save_interval"), ("num_train_epochs", "max_epochs")


def is_swift_megatron(program: str, _: Arguments) -> bool:
    """Return whether a program is ms-swift's on Megatron."""
    return (
        program.startswith("megatron ")
        or re.search(r"(^|/)swift/cli/_megatron/\w+\.py$", program) is not None
    )


def placeholders_of(_: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments."""
    saves = dict.fromkeys(_SAVES, "{save_steps}")
    places = {
        "micro_batch_size": "{batch_size}",
        "train_iters": "{max_steps}",
        "output_dir": "{output}",
        "save": "{output}",
    }
    return {**places, **saves}


def read_swift_megatron(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the arguments say, and the defaults of those that are absent.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--dataset org/a#1000 org/b#500 --micro_batch_size 4 --max_epochs 1 --save out".split()
    >>> recipe = read_swift_megatron(parse_arguments(words, "run.sh line 1"), Surroundings())
    >>> keys = ("data.samples", "training.batch_size", "training.global_batch", "training.epochs", "checkpoint.every_steps")
    >>> [recipe.value(key) for key in (*keys, "evaluation.every_steps", "training.zero_stage")]
    [1500, 4, 16, 1, 500, 0, 1]
    """
    recipe = Recipe.of(
        *_number(arguments, "training.batch_size", 1, "micro_batch_size"),
        *_number(arguments, "training.global_batch", 16, "global_batch_size"),
        *_length(arguments),
        *read_parallel(arguments),
        *_states(arguments),
        *_pauses(arguments),
        Setting("training.framework", "megatron", f"{_NAME} on Megatron"),
        Setting("run.bootstrap", "single", "megatron starts a process per GPU itself"),
        remarks=tuple(_remarks(arguments)),
    )
    if not any(name in arguments for name in ("train_iters", *_LENGTHS)):
        recipe = recipe.asking(Question("training.epochs", f"neither train_iters nor {_LENGTHS[0]} is given"))
    if around.gpus and (replica := _replica(recipe)) and around.gpus % replica:
        why = f"{around.gpus} GPUs are no multiple of tensor x pipeline x context parallel = {replica}"
        recipe = recipe.asking(Question("training.gpus", why, replica))
    return recipe.over(read_samples(arguments)).over(read_method(arguments, "full"))


def _number(arguments: Arguments, key: str, default: int, *names: str) -> Iterator[Setting]:
    absent = f"{_NAME}'s default: {names[0]} is not given"
    yield Setting(key, *(find_number(arguments, *names) or (default, absent)))


def _length(arguments: Arguments) -> Iterator[Setting]:
    if steps := find_number(arguments, "train_iters"):
        yield Setting("training.max_steps", *steps)
    elif epochs := find_number(arguments, *_LENGTHS):
        yield Setting("training.epochs", *epochs)
    if length := find_number(arguments, "packing_length", "max_length"):
        packing = arguments.get("packing")
        most = ", of packed rows" if packing and packing.is_on else ", at most: see mean_tokens"
        yield Setting("data.seq_len", length[0], f"{length[1]}{most}")


def _states(arguments: Arguments) -> Iterator[Setting]:
    dtype = arguments.get("torch_dtype")
    precision = DTYPES.get(str(dtype.value).rpartition(".")[2]) if dtype else None
    if fp8 := arguments.get("fp8_format"):
        yield Setting("training.precision", "fp8", fp8.source)
    elif dtype and precision:
        yield Setting("training.precision", precision, dtype.source)
    distributed = arguments.get("use_distributed_optimizer")
    sharding = [*read_sharding(arguments)]
    if sharding or (distributed and distributed.is_off):
        yield from sharding or [Setting("training.zero_stage", 0, distributed.source if distributed else "")]
    else:
        yield Setting("training.zero_stage", 1, f"{_NAME}'s default of use_distributed_optimizer")
    granularity = arguments.get("recompute_granularity")
    value = str(granularity.value) if granularity else "selective"
    source = granularity.source if granularity else f"{_NAME}'s default of recompute_granularity"
    if value != "none":
        yield Setting("training.recompute", True if value == "full" else "selective", source)


def _pauses(arguments: Arguments) -> Iterator[Setting]:
    saves = find_number(arguments, *_SAVES) or (500, f"{_NAME}'s default: {_SAVES[0]} is not given")
    yield Setting("checkpoint.every_steps", *saves)
    if folder := arguments.get("output_dir", arguments.get("save")):
        yield Setting("checkpoint.folder", folder.value, folder.source)
    if evaluates(arguments):
        yield Setting(
            "evaluation.every_steps", *(find_number(arguments, "eval_steps", "eval_interval") or saves)
        )
    else:
        yield Setting(
            "evaluation.every_steps",
            0,
            f"{_NAME} evaluates nothing without val_dataset or split_dataset_ratio",
        )


def _replica(recipe: Recipe) -> int:
    sizes = [
        int(recipe.value(f"training.{name}_parallel") or 1) for name in ("tensor", "pipeline", "context")
    ]
    return sizes[0] * sizes[1] * sizes[2]


def _remarks(arguments: Arguments) -> Iterator[str]:
    lost = arguments.get("no_save_optim")
    if lost and lost.is_on:
        yield f"{lost.source}: no run goes on from such a checkpoint: leave it out, or ask for the time of the whole run"
    else:
        yield "megatron goes on by --mcore_model CHECKPOINT --finetune false: give them in [run] resume, as your version names them"
    if (experts := find_number(arguments, "expert_model_parallel_size")) and experts[0] > 1:
        yield f"{experts[1]} is not taken: expert_parallel needs architecture.parameters and active_parameters"
