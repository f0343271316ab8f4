"""What every program around Hugging Face's Trainer has: a DeepSpeed config, the rule of its version, a folder of checkpoints."""

import re

from ..arguments import Argument, Arguments, nest_arguments
from ..files import Files
from ..recipe import Recipe, Setting
from .deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from .surroundings import Surroundings
from .transformers_version import read_framework


def add_trainer_files(recipe: Recipe, arguments: Arguments, around: Surroundings) -> Recipe:
    """Return a recipe of a Trainer with the DeepSpeed config, the rule of its version, and the folder of checkpoints."""
    settings = [read_framework(around.files.folders)]
    if output := arguments.get("output_dir"):
        settings.append(Setting("checkpoint.folder", output.value, output.source))
    projector_only = arguments.get("tune_mm_mlp_adapter")  # LLaVA's: its checkpoints are none to resume from
    resumes = not (projector_only and projector_only.is_on)
    if around.on_line and resumes:
        words = ("--resume_from_checkpoint", "{latest}")
        settings.append(Setting("run.resume", words, "Trainer's option"))
    recipe = recipe.over(Recipe.of(*settings))
    if (config := arguments.get("deepspeed")) and isinstance(config.value, str):
        recipe = _with_deepspeed(recipe, config, around.files)
    elif table := nest_arguments(arguments, "deepspeed"):
        recipe = recipe.over(read_deepspeed_config(table, f"{around.config or 'config'}: deepspeed"))
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
