"""The program of a launch line: its arguments and config files as a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass

from .arguments import Arguments, list_arguments, parse_arguments
from .files import Files, NamedFile
from .formats.accelerate_yaml import AccelerateConfig, read_accelerate_config
from .formats.deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from .formats.format import Format, Surroundings, find_format
from .formats.yaml_text import lines_of_keys, parse_yaml
from .launch.line import LaunchLine
from .recipe import Question, Recipe, Setting

_FRAMEWORKS = {"accelerate": "accelerate", "deepspeed": "deepspeed"}
# Arguments of programs of one's own that often mean these keys.
_GUESSES = {
    "training.batch_size": ("batch_size", "train_batch_size", "micro_batch_size", "batch_size_per_gpu", "bs"),
    "training.epochs": ("epochs", "num_epochs", "max_epochs", "n_epochs"),
    "training.accumulation": (
        "gradient_accumulation_steps",
        "accumulation_steps",
        "grad_accum",
        "accum_iter",
    ),
}


@dataclass(frozen=True)
class Program:
    """What a program's arguments say, and the placeholders that stand in place of some, by their index."""

    recipe: Recipe
    placeholders: Mapping[int, str]


def read_program(launch: LaunchLine, files: Files, gpus: int | None, place: str) -> Program:
    """Return what the arguments of the program, its config files and its launcher's own config say."""
    words = [word.text for word in launch.arguments]
    on_line = parse_arguments(words, place)
    in_file = _config_arguments(on_line, words, files)
    arguments = {**in_file, **on_line}
    name = " ".join(word.text for word in launch.program[-1:])
    format_ = find_format(name, arguments)
    is_only_file = bool(in_file) and len(words) == 1
    if format_:
        around = Surroundings(name, files, gpus, on_line=not is_only_file)
        recipe = format_.read(arguments, around)
    else:
        recipe = _guess(on_line, launch, files, place)
    recipe = recipe.over(_launcher_settings(launch, files, place))
    if recipe.value("training.precision") is None:
        recipe = recipe.set(
            Setting("training.precision", "auto", "nothing states it: the best that the GPUs have")
        )
    return Program(recipe, _placeholders(format_, recipe, on_line, words))


def _placeholders(
    format_: Format | None, recipe: Recipe, on_line: Arguments, words: list[str]
) -> dict[int, str]:
    names = dict(format_.placeholders) if format_ else {}
    if recipe.value("training.max_steps"):
        names["max_steps"] = "{max_steps}"
    if not recipe.value("checkpoint.every_steps"):  # it saves by epochs, or never
        names.pop("save_steps", None)
    placeholders = {}
    for name, placeholder in names.items():
        argument = on_line.get(name)
        if argument is not None and argument.at is not None:
            option, equals, _ = words[argument.at].partition("=")
            placeholders[argument.at] = (
                f"{option}={placeholder}" if equals and option.startswith("-") else placeholder
            )
    return placeholders


def _config_arguments(on_line: Arguments, words: list[str], files: Files) -> Arguments:
    """The arguments in the config file that a program is given: its first word, or by `--config`."""
    config = on_line.get("config")
    name = str(config.value) if config else words[0] if words else ""
    if not name.endswith((".yaml", ".yml", ".json")) or not (file := files.read(name)):
        return {}
    return read_config_file(file)


def read_config_file(file: NamedFile) -> Arguments:
    """Return the settings in a YAML or JSON file as arguments.  Raises InputError."""
    return list_arguments(parse_yaml(file.text, str(file.path)), file.path.name, lines_of_keys(file.text))


def _launcher_settings(launch: LaunchLine, files: Files, place: str) -> Recipe:
    """What accelerate's own options and config say; less than the program's arguments."""
    if launch.launcher != "accelerate":
        return Recipe()
    settings = []
    if precision := launch.option("mixed_precision"):
        value = "fp32" if precision == "no" else precision
        settings.append(Setting("training.precision", value, launch.source(place, "mixed_precision")))
    if stage := launch.option("zero_stage"):
        settings.append(Setting("training.zero_stage", int(stage), launch.source(place, "zero_stage")))
    elif launch.option("use_deepspeed") is not None:
        settings.append(
            Setting("training.zero_stage", 2, "accelerate's default: --use_deepspeed without --zero_stage")
        )
    recipe = Recipe.of(*settings)
    config = read_launcher_config(launch, files)
    if config is None:
        return recipe
    recipe = recipe.over(config.recipe)
    file = files.read(launch.option("deepspeed_config_file") or config.config_file or "")
    return (
        recipe.over(read_deepspeed_config(parse_deepspeed_json(file.text, str(file.path)), file.path.name))
        if file
        else recipe
    )


def read_launcher_config(launch: LaunchLine, files: Files) -> AccelerateConfig | None:
    """Return the config that `accelerate launch` is given; None if there is none, or it is not here."""
    name = launch.option("config_file") if launch.launcher == "accelerate" else None
    file = files.read(name) if name else None
    return read_accelerate_config(parse_yaml(file.text, str(file.path)), file.path.name) if file else None


def _guess(on_line: Arguments, launch: LaunchLine, files: Files, place: str) -> Recipe:
    """A program of one's own: what its arguments may mean is asked."""
    framework = _FRAMEWORKS.get(launch.launcher, "torch")
    config = on_line.get("deepspeed_config", on_line.get("deepspeed"))
    file = files.read(str(config.value)) if config and config.value is not True else None
    why = "the program's arguments are its own; this rule is that of torch's DistributedSampler"
    source = f"{place}: {launch.launcher}" if framework != "torch" else why
    recipe = Recipe.of(Setting("training.framework", framework, source))
    if file:
        recipe = recipe.over(
            read_deepspeed_config(parse_deepspeed_json(file.text, str(file.path)), file.path.name)
        )
    for key, names in _GUESSES.items():
        argument = next((on_line[name] for name in names if name in on_line and on_line[name].number), None)
        if recipe.value(key) is None and argument:
            doubt = "of a GPU, or of all?" if key == "training.batch_size" else "is that so?"
            recipe = recipe.asking(Question(key, f"{argument.source}: {doubt}", argument.number))
        elif recipe.value(key) is None and key == "training.batch_size":
            recipe = recipe.asking(
                Question(key, f"{launch.program_name} does not say it on its command line")
            )
    return recipe
