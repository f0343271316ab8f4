"""The program of a launch line: its arguments and config files as a recipe."""

from dataclasses import dataclass

from .arguments import Arguments, parse_arguments
from .config_files import read_config_files
from .files import Files
from .formats.accelerate_yaml import AccelerateConfig, read_accelerate_config
from .formats.deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from .formats.format import Format, find_format
from .formats.own_loop import placeholders_of as own_loop_placeholders
from .formats.own_loop import read_own_loop
from .formats.surroundings import Surroundings
from .formats.yaml_text import parse_yaml
from .hydra_config import read_hydra_config
from .launch.line import LaunchLine
from .launch.run_command import ArgumentWords
from .recipe import Question, Recipe, Setting

_STEPS = ("{max_steps}", "{save_steps}")  # not added where the file has none
_STARTERS = ("accelerate", "deepspeed", "mpirun", "composer", "colossalai", "fabric", "lightning", "tune")
_COUNTS = ("{batch_size}", "{accumulation}", "{save_steps}", "{max_steps}")
_LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "mpirun", "axolotl", "python")


@dataclass(frozen=True)
class ProgramArguments:
    """The arguments of a program: on its line, in the config files that it is given, and the format that they have."""

    words: tuple[str, ...]
    on_line: Arguments
    in_files: Arguments
    config: str
    format: Format | None

    @property
    def all(self) -> Arguments:
        """Return both, of which those on the line win."""
        return {**self.in_files, **self.on_line}


@dataclass(frozen=True)
class Program:
    """What a program's arguments say, and what becomes of them in the command."""

    recipe: Recipe
    words: ArgumentWords


def parse_program(launch: LaunchLine, files: Files, script: str) -> ProgramArguments:
    """Return the arguments of the program of a launch line.  Raises InputError for a config file that is broken."""
    words = [word.text for word in launch.arguments]
    lines = [word.line or launch.command.line for word in launch.arguments]
    on_line = parse_arguments(words, script, lines)
    config, in_files = read_config_files(words, files)
    if not in_files and (composed := read_hydra_config(launch.program_name, words, files)):
        config, in_files = composed
    return ProgramArguments(
        tuple(words), on_line, in_files, config, find_format(_name_of(launch), {**in_files, **on_line})
    )


def read_program(
    launch: LaunchLine, program: ProgramArguments, files: Files, gpus: int | None, script: str
) -> Program:
    """Return what the arguments of the program, its config files and its launcher's own config say."""
    format_ = program.format
    on_line = format_ is None or not program.in_files or len(program.words) > 1 or format_.prefix is not None
    around = Surroundings(
        _name_of(launch), files, gpus, on_line, program.config, launch.place(script), launch.launcher
    )
    recipe = format_.read(program.all, around) if format_ else read_own_loop(program.on_line, around)
    recipe = recipe.over(_launcher_settings(launch, files, script))
    if {"-m", "--multirun"} & {*program.words} and any(not a.is_option for a in program.on_line.values()):
        why = f"{launch.place(script)}: hydra's --multirun starts several runs: give what differs as a placeholder, and its values by --sweep"
        recipe = recipe.asking(Question("run.runs", why))
    if launch.launcher in _STARTERS:  # it starts the processes, whatever the program would need
        recipe = recipe.without("run.bootstrap")
    if recipe.value("training.precision") is None:
        recipe = recipe.set(
            Setting("training.precision", "auto", "nothing states it: the best that the GPUs have")
        )
    placeholders, added = _placeholders(program, recipe)
    words = ArgumentWords(
        placeholders, added, recipe.value("run.bootstrap"), reads_local_rank=format_ is None
    )
    return Program(recipe, words)


def _name_of(launch: LaunchLine) -> str:
    """The program; with its launcher in front if that is a library's own: `swift sft`."""
    own = launch.head[:1] if launch.launcher not in _LAUNCHERS else ()
    return " ".join((*(word.text.rpartition("/")[2] for word in own), launch.program_name))


def _placeholders(program: ProgramArguments, recipe: Recipe) -> tuple[dict[int, str], tuple[str, ...]]:
    """The placeholders in place of words, and as words of their own for what only a config file says."""
    format_, words = program.format, program.words
    names = dict(format_.placeholders(program.all) if format_ else own_loop_placeholders(program.on_line))
    if recipe.value("training.max_steps"):
        names.setdefault("max_steps", "{max_steps}")
    if not recipe.value("checkpoint.every_steps"):  # it saves by epochs, or never
        names = {name: placeholder for name, placeholder in names.items() if placeholder != "{save_steps}"}
    if not recipe.value("training.max_steps"):
        names = {name: placeholder for name, placeholder in names.items() if placeholder != "{max_steps}"}
    placeholders, added = dict[int, str](), list[str]()
    for name, placeholder in names.items():
        argument = program.on_line.get(name)
        if argument is not None and placeholder in _COUNTS and argument.number is None:
            continue  # $1: what is not known is not replaced
        if argument is not None and argument.at is not None:
            option, equals, _ = words[argument.at].partition("=")
            is_assigned = equals and (option.startswith("-") or not argument.is_option)
            placeholders[argument.at] = f"{option}={placeholder}" if is_assigned else placeholder
        elif argument is None and (name in program.in_files or placeholder not in _STEPS):
            added.append(f"{name}={placeholder}")
    if format_ is None or format_.prefix is None or not program.in_files:
        return placeholders, ()
    return placeholders, tuple(f"{format_.prefix}{word}" for word in added)


def _launcher_settings(launch: LaunchLine, files: Files, script: str) -> Recipe:
    """What accelerate's own options and config say; less than the program's arguments."""
    if launch.launcher != "accelerate":
        return Recipe()
    settings = []
    if precision := launch.option("mixed_precision"):
        value = "fp32" if precision == "no" else precision
        settings.append(Setting("training.precision", value, launch.source(script, "mixed_precision")))
    if stage := launch.option("zero_stage"):
        settings.append(Setting("training.zero_stage", int(stage), launch.source(script, "zero_stage")))
    elif launch.option("use_deepspeed") is not None:
        settings.append(
            Setting("training.zero_stage", 2, "accelerate's default: --use_deepspeed without --zero_stage")
        )
    recipe = Recipe.of(*settings)
    config = read_launcher_config(launch, files)
    if config is None and launch.option("config_file"):
        missing = "there is no such file here: what it says of GPUs, precision and sharding is not known"
        return recipe.noting(f"{launch.source(script, 'config_file')}: {missing}")
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
