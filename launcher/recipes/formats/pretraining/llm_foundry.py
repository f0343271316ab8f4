"""llm-foundry's YAML, whose times are Composer's: `24800ba`, `1ep`.  Pure.

Names were read in llm-foundry at 06560d5 (https://github.com/mosaicml/llm-foundry, scripts/train/yamls); `key=value` behind
the YAML stands over its keys.  Units: https://docs.mosaicml.com/projects/composer/en/stable/trainer/time.html.
"""

import re
from collections.abc import Iterator, Mapping

from ...arguments import Argument, Arguments, find_number, nest_arguments
from ...recipe import Question, Recipe, Setting
from ..accelerate_yaml import read_fsdp_config
from ..surroundings import Surroundings

_NAME = "llm-foundry"
_SIGNS = {
    "max_duration",
    "global_train_batch_size",
    "device_train_microbatch_size",
    "device_train_grad_accum",
}
_FEWEST_SIGNS = 2
_PRECISIONS = {
    "amp_bf16": "bf16",
    "bf16": "bf16",
    "amp_fp16": "fp16",
    "fp16": "fp16",
    "fp32": "fp32",
    "amp_fp8": "fp8",
}


def is_llm_foundry(_: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of llm-foundry."""
    return len(_SIGNS & arguments.keys()) >= _FEWEST_SIGNS


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments."""
    stated = find_number(arguments, "device_train_microbatch_size")
    return {"device_train_microbatch_size": "{batch_size}"} if stated else {}


def read_llm_foundry(arguments: Arguments, around: Surroundings) -> Recipe:  # noqa: ARG001  all formats are given it
    """Return what the config says.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> config = {"max_duration": "24800ba", "global_train_batch_size": 512, "device_train_microbatch_size": 4}
    >>> recipe = read_llm_foundry(list_arguments(config, "mpt.yaml", {}), Surroundings())
    >>> [recipe.value(key) for key in ("training.max_steps", "training.global_batch", "training.batch_size", "checkpoint.every_steps")]
    [24800, 512, 4, 0]
    """
    recipe = Recipe.of(
        *_length(arguments),
        *_number(arguments, "training.global_batch", "global_train_batch_size"),
        *_number(arguments, "training.batch_size", "device_train_microbatch_size"),
        *_number(arguments, "data.seq_len", "max_seq_len"),
        *_states(arguments),
        *_interval(arguments, "evaluation", "eval_interval"),
        *_interval(arguments, "checkpoint", "save_interval"),
        Setting("training.framework", "torch", "Composer deals samples as torch does"),
    )
    if "save_folder" not in arguments:
        recipe = recipe.without("checkpoint.every_epochs").set(
            Setting("checkpoint.every_steps", 0, f"{_NAME} saves nothing without save_folder")
        )
    if recipe.value("training.batch_size") is None:
        micro = arguments.get("device_train_microbatch_size")
        why = (
            f"{micro.source}: {micro.value}: Composer tries sizes until one fits"
            if micro
            else "no micro-batch is stated"
        )
        recipe = recipe.asking(Question("training.batch_size", why))
    name = arguments.get("run_name")
    if name and "save_folder" in arguments:
        recipe = recipe.set(
            Setting("run.resume", ("autoresume=true",), f"Composer's key; it looks for {name.value}")
        )
    return recipe


def _length(arguments: Arguments) -> Iterator[Setting]:
    amount = _amount(arguments.get("max_duration"))
    keys = {"ba": "training.max_steps", "ep": "training.epochs", "tok": "data.tokens"}
    if amount and amount[1] in keys:
        yield Setting(keys[amount[1]], amount[0], amount[2])
    if amount and amount[1] == "tok":
        yield Setting("training.epochs", 1, "the tokens are those of the whole run")


def _interval(arguments: Arguments, table: str, name: str) -> Iterator[Setting]:
    amount = _amount(arguments.get(name))
    keys = {"ba": "every_steps", "ep": "every_epochs"}
    if amount and amount[1] in keys:
        yield Setting(f"{table}.{keys[amount[1]]}", amount[0], amount[2])
    elif amount is None and table == "checkpoint":
        yield Setting("checkpoint.every_epochs", 1, "Composer's default of save_interval")


def _amount(argument: Argument | None) -> tuple[int, str, str] | None:
    """A time of Composer as its number, its unit and its source; a bare number counts epochs."""
    match = (
        re.fullmatch(r"([\d_.eE+]+)\s*(ba|ep|tok)?", str(argument.value).strip("'\"")) if argument else None
    )
    if argument is None or match is None:
        return None
    return int(float(match[1].replace("_", ""))), match[2] or "ep", argument.source


def _number(arguments: Arguments, key: str, *names: str) -> Iterator[Setting]:
    if stated := find_number(arguments, *names):
        yield Setting(key, *stated)


def _states(arguments: Arguments) -> Iterator[Setting]:
    precision = arguments.get("precision")
    if precision and (ours := _PRECISIONS.get(str(precision.value))):
        yield Setting("training.precision", ours, precision.source)
    if fsdp := nest_arguments(arguments, "fsdp_config"):
        place = next(a.source for name, a in arguments.items() if name.startswith("fsdp_config.")).rpartition(
            ":"
        )[0]
        yield from read_fsdp_config(fsdp, place)
