"""A format: how the arguments of one framework's programs are recognised and read.  Here are all of them.

To add one, write its module, and add its record to `FORMATS`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..arguments import Argument, Arguments
from ..files import Files
from ..recipe import Recipe, Setting
from .deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from .hf_trainer import is_trainer, read_trainer
from .ms_swift import is_swift, read_swift
from .transformers_version import read_framework


@dataclass(frozen=True)
class Surroundings:
    """What a format may need beside the arguments: the program, the files that they name, the GPUs if they are known.

    `on_line` is whether the arguments stand on a command line, where more can be added.
    """

    program: str = ""
    files: Files = field(default_factory=Files)
    gpus: int | None = None
    on_line: bool = True


@dataclass(frozen=True)
class Format:
    """One format.  `placeholders` stand in place of the values of these arguments in the command."""

    name: str
    recognises: Callable[[str, Arguments], bool]
    read: Callable[[Arguments, Surroundings], Recipe]
    placeholders: Mapping[str, str]


def find_format(program: str, arguments: Arguments) -> Format | None:
    """Return the format of a program's arguments; None if it is none of those that are known.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> format = find_format("train.py", parse_arguments(["--num_train_epochs", "1"], "run.sh line 3"))
    >>> format.name if format else None
    "Hugging Face's Trainer"
    """
    return next((format_ for format_ in FORMATS if format_.recognises(program, arguments)), None)


def _read_hf(arguments: Arguments, around: Surroundings) -> Recipe:
    return _with_trainer_files(read_trainer(arguments), arguments, around)


def _read_swift(arguments: Arguments, around: Surroundings) -> Recipe:
    return _with_trainer_files(read_swift(arguments, around.gpus), arguments, around)


def _with_trainer_files(recipe: Recipe, arguments: Arguments, around: Surroundings) -> Recipe:
    """What every Trainer has: a DeepSpeed config, the rule of its version, a folder of checkpoints."""
    settings = [read_framework(around.files.folders)]
    if "no_trainer" in around.program:  # the examples of transformers whose loop is Accelerate's
        settings = [Setting("training.framework", "accelerate", f"{around.program}: a loop of its own")]
    if output := arguments.get("output_dir"):
        settings.append(Setting("checkpoint.folder", output.value, output.source))
    projector_only = arguments.get("tune_mm_mlp_adapter")  # LLaVA's: its checkpoints are none to resume from
    resumes = "no_trainer" not in around.program and not (projector_only and projector_only.is_on)
    if around.on_line and resumes:
        words = ("--resume_from_checkpoint", "{latest}")
        settings.append(Setting("run.resume", words, "Trainer's option"))
    recipe = recipe.over(Recipe.of(*settings))
    if (config := arguments.get("deepspeed")) and isinstance(config.value, str):
        recipe = _with_deepspeed(recipe, config, around.files)
    return recipe


def _with_deepspeed(recipe: Recipe, config: Argument, files: Files) -> Recipe:
    file = files.read(config.value)
    if file is None:
        stage = re.search(r"(?:zero|stage|z)[-_]?([0-3])", config.value, re.IGNORECASE)
        note = f"{config.source}: there is no such file here"
        if not stage:
            return recipe.over(Recipe(remarks=(f"{note}: its ZeRO stage is not known",)))
        return recipe.over(
            Recipe.of(Setting("training.zero_stage", int(stage[1]), f"{note}; a guess by its name"))
        )
    read = read_deepspeed_config(parse_deepspeed_json(file.text, str(file.path)), file.path.name)
    remarks = [
        f"{setting.source} says {setting.value}, {recipe.settings[key].source} says {recipe.value(key)}: Trainer refuses that"
        for key, setting in read.settings.items()
        if key in ("training.batch_size", "training.accumulation")
        and recipe.value(key) not in (None, setting.value)
    ]
    return recipe.over(read).over(Recipe(remarks=tuple(remarks)))


_TRAINER_PLACEHOLDERS = {
    "per_device_train_batch_size": "{batch_size}",
    "gradient_accumulation_steps": "{accumulation}",
    "save_steps": "{save_steps}",
    "output_dir": "{output}",
}
FORMATS = (
    Format("ms-swift", is_swift, _read_swift, _TRAINER_PLACEHOLDERS),
    Format(
        "Hugging Face's Trainer", lambda _, arguments: is_trainer(arguments), _read_hf, _TRAINER_PLACEHOLDERS
    ),
)
