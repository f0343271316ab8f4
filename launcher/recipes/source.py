"""What people bring, recognised and read: a script, a command, or a config file of a framework."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from .config_files import read_config_file
from .files import Files, NamedFile, read_text
from .formats.accelerate_yaml import is_accelerate_yaml, read_accelerate_config
from .formats.deepspeed_json import is_deepspeed_json, parse_deepspeed_json, read_deepspeed_config
from .formats.format import find_format
from .formats.pretraining.nanogpt import parse_assignments
from .formats.surroundings import Surroundings
from .formats.yaml_text import parse_yaml
from .launch.claims import agree_on_gpus
from .recipe import Question, Recipe, Setting
from .script import Script, read_script

_SCRIPTS = (".sh", ".bash", ".slurm", ".sbatch", ".job", ".batch", ".sub", ".cmd", "")
_SIGNS = re.compile(
    r"^(#!.*\b(ba|da|z|k)?sh\b|#SBATCH|#PBS)|\b(torchrun|deepspeed|accelerate|srun|python3?) ", re.MULTILINE
)
_HINT = re.compile(r"(?<![\d.])(\d{2,4})k(?![\w])|[_-](\d{2,4})k(?=[_./-]|$)", re.IGNORECASE)
_SIZE = "samples per epoch, after filters, splits and packing: no script states them"


def read_source(
    path: Path,
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stated: Mapping[str, int],
) -> Recipe:
    """Return the recipe of the file at `path`, as if it were started in `folder` with these arguments.

    Raises InputError if it is nothing that can be read, and says what would be.
    """
    full = folder / path
    if full.is_dir():
        scripts = sorted(p.name for p in full.iterdir() if p.suffix in _SCRIPTS[:-1])[:5]
        names = f": {', '.join(scripts)}" if scripts else ""
        raise InputError(f"{path}: is a folder: give the script in it that starts the training{names}")
    if not full.exists():
        raise InputError(f"{path}: no such file")
    text = read_text(full)
    if text is None:
        raise InputError(
            f"{path}: is no text that can be read, or larger than 1 MB: give the script that starts the training"
        )
    if path.suffix == ".py" and find_format(path.name, parse_assignments(text, path.name)) is None:
        raise InputError(
            f"{path}: is a program: give the command that starts it: clusterplan init -- python {path}"
        )
    if path.suffix in (".yaml", ".yml", ".json", ".toml", ".py"):
        return _named(_read_config(NamedFile(path, text), folder, environment, stated), path.stem)
    if path.suffix not in _SCRIPTS and not _SIGNS.search(text):
        raise InputError(
            f"{path}: is neither a shell script nor a config that is known: give an sbatch script, a shell script, a YAML or JSON config"
        )
    return _named(read_script(Script(text, path, folder, tuple(arguments), environment, stated)), path.stem)


def read_command(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], stated: Mapping[str, int]
) -> Recipe:
    """Return the recipe of a command, given as words.

    >>> recipe = read_command("torchrun --nproc_per_node 4 train.py --lr 1".split(), Path("/"), {}, {})
    >>> recipe.value("training.gpus"), recipe.value("run.command"), recipe.value("run.bootstrap")
    (4, ('python', 'train.py', '--lr', '1'), 'torchrun')
    """
    script = Script(shlex.join(words), Path("command"), folder, (), environment, stated)
    program = next((Path(word).stem for word in words if word.endswith((".py", ".sh"))), Path(words[0]).name)
    return _named(read_script(script), program)


def _read_config(
    file: NamedFile, folder: Path, environment: Mapping[str, str], stated: Mapping[str, int]
) -> Recipe:
    """A config file by itself: with the launch line of its format, or what it says without a command."""
    name = file.path.name
    if name.endswith(".json"):
        values = parse_deepspeed_json(file.text, name)
        if is_deepspeed_json(values):
            return _without_command(read_deepspeed_config(values, name), f"{name} is DeepSpeed's config")
    elif not name.endswith((".toml", ".py")):
        values = parse_yaml(file.text, name)
        if is_accelerate_yaml(values):
            config = read_accelerate_config(values, name)
            gpus = [Setting("training.gpus", config.gpus, f"{name}: num_processes")] if config.gpus else []
            gpus += (
                [Setting("cluster.nodes", config.nodes, f"{name}: num_machines")]
                if config.gpus and config.nodes
                else []
            )
            return _without_command(config.recipe.over(Recipe.of(*gpus)), f"{name} is accelerate's config")
    arguments = read_config_file(file)
    format_ = find_format(name, arguments)
    if format_ is None:
        raise InputError(f"{name}: is no config that is known: give the script or the command that uses it")
    if command := format_.command(str(file.path), arguments):
        script = Script(shlex.join(command), file.path, folder, (), environment, stated)
        recipe = read_script(script)
        started = Setting("run.command", recipe.value("run.command"), f"as {format_.name} is started")
        return recipe.set(started)
    around = Surroundings(
        name,
        Files(((folder / file.path).parent, folder)),
        stated.get("training.gpus"),
        on_line=False,
        config=name,
    )
    recipe = format_.read(arguments, around)
    recipe = agree_on_gpus([*format_.claim_gpus(arguments)]).over(recipe)
    return _without_command(recipe, f"{name} is a config of {format_.name}")


def _without_command(recipe: Recipe, what: str) -> Recipe:
    recipe = recipe.asking(Question("run.command", f"{what}, and says no command: give the one that uses it"))
    if recipe.value("training.precision") is None:
        recipe = recipe.set(
            Setting("training.precision", "auto", "nothing states it: the best that the GPUs have")
        )
    return recipe


def _named(recipe: Recipe, stem: str) -> Recipe:
    """The recipe with a name, and with a question for everything that every job needs."""
    if recipe.value("name") is None:
        recipe = replace(
            recipe, settings={"name": Setting("name", stem, "the name of the script"), **recipe.settings}
        )
    asked = {question.key for question in recipe.questions}
    has_size = any(recipe.value(key) for key in ("data.samples", "data.tokens", "training.max_steps"))
    if not has_size and "data.samples" not in asked:
        recipe = recipe.asking(Question("data.samples", _SIZE + _hint(recipe)))
    has_batch = any(recipe.value(key) for key in ("training.batch_size", "training.global_batch"))
    if not has_batch and "training.batch_size" not in asked:
        recipe = recipe.asking(Question("training.batch_size", "samples per GPU and forward pass"))
    if recipe.value("training.gpus") is None and "training.gpus" not in asked:
        recipe = recipe.asking(Question("training.gpus", "nothing states how many GPUs there are"))
    return recipe


def _hint(recipe: Recipe) -> str:
    """A number in the name of a data set."""
    words = [part for word in recipe.value("run.command") or () for part in str(word).split()]
    hints = [word for word in words if "data" in word and _HINT.search(word)] or [
        w for w in words if w.endswith((".json", ".jsonl")) and _HINT.search(w)
    ]
    return f"; a hint in a name: {json.dumps(hints[0])}" if hints else ""
