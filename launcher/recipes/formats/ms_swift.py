"""The arguments of ms-swift's `swift sft`, `pt` and `rlhf`: Trainer's, with other defaults.  Pure.

Names and defaults were read in ms-swift 4.5 at 3602360 (https://github.com/modelscope/ms-swift, swift/arguments).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ..arguments import Arguments
from ..recipe import Question, Recipe, Setting
from .hf_trainer import TrainerDefaults, read_trainer

_DEFAULTS = TrainerDefaults("ms-swift", batch_size=1, recompute=True)
_SAMPLES_PER_STEP = 16  # where no accumulation is given
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def is_swift(program: str, arguments: Arguments) -> bool:
    """Return whether a program is ms-swift's, or arguments are those of its config files."""
    by_name = re.search(r"(^|/)swift/cli/\w+\.py$|swift\.cli\.\w+$", program) or program in (
        "sft",
        "pt",
        "rlhf",
    )
    kinds = {"tuner_type", "train_type", "sft_type"} & arguments.keys()
    return bool(by_name) or bool(kinds and "dataset" in arguments and "model" in arguments)


def read_swift(arguments: Arguments, gpus: int | None) -> Recipe:
    """Return what the arguments say; `gpus` decide the accumulation where none is given.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--dataset org/a#1000 org/b#500 --torch_dtype bfloat16 --eval_steps 100".split()
    >>> recipe = read_swift(parse_arguments(words, "run.sh line 1"), gpus=8)
    >>> [recipe.value(key) for key in ("data.samples", "training.batch_size", "training.accumulation", "evaluation.every_steps")]
    [1500, 1, 2, 0]
    """
    recipe = read_trainer(arguments, _DEFAULTS)
    recipe = Recipe.of(*_evaluations(arguments)).over(recipe)
    if dtype := arguments.get("torch_dtype"):
        precision = _DTYPES.get(str(dtype.value).rpartition(".")[2])
        recipe = (
            recipe.over(Recipe.of(Setting("training.precision", precision, dtype.source)))
            if precision
            else recipe
        )
        recipe = replace(
            recipe, remarks=tuple(remark for remark in recipe.remarks if dtype.source not in remark)
        )
    recipe = recipe.over(_samples(arguments))
    if recipe.value("training.accumulation") is None:
        recipe = recipe.over(_accumulation(int(recipe.value("training.batch_size") or 1), gpus))
    return recipe


def _accumulation(batch_size: int, gpus: int | None) -> Recipe:
    rule = "ms-swift's default: 16 / micro-batch / GPUs, rounded up"
    if gpus is None:
        return Recipe(questions=(Question("training.accumulation", f"{rule}; the GPUs are not known"),))
    return Recipe.of(
        Setting("training.accumulation", max(-(-_SAMPLES_PER_STEP // (batch_size * gpus)), 1), rule)
    )


def _evaluations(arguments: Arguments) -> Iterator[Setting]:
    """None without data for them, whatever eval_steps says; otherwise as often as checkpoints."""
    ratio = arguments.get("split_dataset_ratio")
    has_data = "val_dataset" in arguments or (ratio is not None and (ratio.number or 0) > 0)
    if not has_data:
        yield Setting(
            "evaluation.every_steps",
            0,
            "ms-swift evaluates nothing without val_dataset or split_dataset_ratio",
        )
    elif (steps := arguments.get("eval_steps", arguments.get("save_steps"))) and steps.number:
        yield Setting("evaluation.every_steps", steps.number, steps.source)
    else:
        yield Setting("evaluation.every_steps", 500, "ms-swift's default: as save_steps")


def _samples(arguments: Arguments) -> Recipe:
    """`name#N` takes N rows of a data set."""
    dataset = arguments.get("dataset")
    if dataset is None:
        return Recipe()
    names = dataset.value if isinstance(dataset.value, list) else str(dataset.value).split()
    counts = [re.search(r"#(\d+)$", str(name)) for name in names]
    if not all(counts):
        return Recipe()
    total = sum(int(match[1]) for match in counts if match)
    ratio = arguments.get("split_dataset_ratio")
    share = float(ratio.number or 0) if ratio else 0
    settings = [Setting("data.samples", total, dataset.source)]
    settings += [Setting("data.validation_share", share, ratio.source)] if ratio and share else []
    return Recipe.of(*settings)
