"""litgpt's YAML and arguments.  Pure.

Names were read in litgpt at 02f2fca (https://github.com/Lightning-AI/litgpt, litgpt/args.py); its scripts have defaults of
their own, so numbers that decide are asked for where they are absent.
"""

from collections.abc import Iterator, Mapping

from ...arguments import Arguments, find_number
from ...launch.claims import GpuClaim
from ...recipe import Question, Recipe, Setting
from ..lightning_words import read_devices, read_precision
from ..surroundings import Surroundings

_NAME = "litgpt"
_RESUMES = ("pretrain", "finetune_full")


def is_litgpt(program: str, arguments: Arguments) -> bool:
    """Return whether a program is litgpt, or arguments are those of its config files."""
    return (
        program.startswith("litgpt ")
        or {"train.global_batch_size", "train.micro_batch_size"} <= arguments.keys()
    )


def placeholders_of(_: Arguments) -> Mapping[str, str]:
    """Return the placeholders; the global batch is that of all GPUs, and so stays as it is."""
    return {
        "train.micro_batch_size": "{batch_size}",
        "train.max_steps": "{max_steps}",
        "train.save_interval": "{save_steps}",
        "out_dir": "{output}",
    }


def claim_gpus(arguments: Arguments) -> Iterator[GpuClaim]:
    """Yield the GPUs: `devices` of each of `num_nodes`."""
    yield from read_devices(arguments, "devices", "num_nodes")


def read_litgpt(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the settings say, and questions on what decides and is absent.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> train = {"global_batch_size": 512, "micro_batch_size": 4, "max_tokens": 1_000_000, "save_interval": 1000}
    >>> arguments = list_arguments({"train": train, "model": {"block_size": 2048}}, "tiny.yaml", {})
    >>> recipe = read_litgpt(arguments, Surroundings("litgpt pretrain", gpus=8))
    >>> [recipe.value(key) for key in ("training.batch_size", "training.accumulation", "data.tokens", "data.seq_len")]
    [4, 16, 1000000, 2048]
    """
    recipe = Recipe.of(
        *_length(arguments),
        *_pauses(arguments),
        Setting("training.framework", "torch", f"{_NAME} has a loop of its own"),
        Setting("run.bootstrap", "per-gpu", "Fabric starts no processes in a job of Slurm: one task per GPU"),
    )
    if precision := read_precision(arguments, "precision"):
        recipe = recipe.over(Recipe.of(*precision))
    if "quantize" in arguments or "lora_r" in arguments:
        source = arguments[("lora_r" if "lora_r" in arguments else "quantize")].source
        need = "memory needs architecture.trainable_parameters, which the model decides"
        recipe = recipe.noting(f"{source}: {need}")
    verb = around.program.removeprefix("litgpt ")
    if verb in _RESUMES:
        recipe = recipe.set(Setting("run.resume", ("--resume=auto",), f"{_NAME}'s option"))
    elif verb != around.program:
        recipe = recipe.noting(
            f"{around.program} cannot go on from a checkpoint: ask for the time of the whole run"
        )
    return _batches(recipe, arguments, around.gpus)


def _batches(recipe: Recipe, arguments: Arguments, gpus: int | None) -> Recipe:
    micro, whole = (
        find_number(arguments, "train.micro_batch_size"),
        find_number(arguments, "train.global_batch_size"),
    )
    if micro is None or whole is None:
        missing = "train.micro_batch_size" if micro is None else "train.global_batch_size"
        return recipe.asking(
            Question("training.batch_size", f"{missing} is not given, and {_NAME}'s scripts differ")
        )
    recipe = recipe.set(Setting("training.batch_size", *micro))
    if gpus is None:
        return recipe.set(Setting("training.global_batch", *whole))
    each = max(int(whole[0] // gpus // micro[0]), 1)
    rule = f"{whole[1]} ({whole[0]}) // {gpus} GPUs // train.micro_batch_size"
    return recipe.set(Setting("training.accumulation", each, rule))


def _length(arguments: Arguments) -> Iterator[Setting]:
    length = find_number(arguments, "train.max_seq_length", "model.block_size")
    if length:
        yield Setting("data.seq_len", *length)
    if steps := find_number(arguments, "train.max_steps"):
        yield Setting("training.max_steps", *steps)
    elif tokens := find_number(arguments, "train.max_tokens"):
        yield Setting("data.tokens", *tokens)
        yield Setting("training.epochs", 1, "the tokens are those of the whole run")
    elif epochs := find_number(arguments, "train.epochs"):
        yield Setting("training.epochs", *epochs)


def _pauses(arguments: Arguments) -> Iterator[Setting]:
    if saves := find_number(arguments, "train.save_interval"):
        yield Setting("checkpoint.every_steps", *saves)
    if evaluations := find_number(arguments, "eval.interval"):
        yield Setting("evaluation.every_steps", *evaluations)
    if folder := arguments.get("out_dir"):
        yield Setting("checkpoint.folder", folder.value, folder.source)
