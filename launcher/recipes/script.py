"""A shell script, with or without lines for sbatch, as a recipe."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .batch_machines import BatchShape
from .batch_request import read_batch_request
from .files import Files
from .launch.inner_scripts import is_script, open_inner_scripts
from .launch.setup import choose_launch
from .recipe import Question, Recipe, Setting
from .script_launch import read_launch
from .shell.sbatch_lines import SbatchOption, list_lines_not_read, read_sbatch_lines
from .shell.scope import Scope, Value
from .shell.state import ShellCommand
from .shell.trace import trace_script
from .shell.word import Word


@dataclass(frozen=True)
class Script:
    """A script with all that it may depend on: its arguments, the environment, the folder that it is started in.

    `stated` are keys of the job file whose values the user gives, and that the script may use: `cluster.nodes`.
    """

    text: str
    path: Path
    folder: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name of the script in remarks and sources."""
        return self.path.name

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return where the files that it names may be: where it is started, its own folder, and those above it in its repository."""
        own = (self.folder / self.path).parent.resolve()
        above = [own, *own.parents][:_MOST_FOLDERS]
        top = next((i for i, folder in enumerate(above) if (folder / ".git").exists()), len(above) - 1)
        return tuple(dict.fromkeys((self.folder, *above[: top + 1])))


_MOST_FOLDERS = 5
# What they hold here says nothing of where the run will be.
_OF_THE_RUN = re.compile(r"SLURM_|CONDA_|VIRTUAL_ENV$|(LD_LIBRARY_|LIBRARY_|PYTHON|MAN|MODULE|C)?PATH$")


def read_script(script: Script) -> Recipe:
    """Return what a script says as a recipe.  Raises InputError for lines that sbatch refuses, and broken config files."""
    text, recipe = script.text.replace("\r\n", "\n"), Recipe()
    if text != script.text:
        recipe = recipe.noting(
            f"{script.name}: its lines end as on Windows, which sbatch and bash refuse: dos2unix {script.path}"
        )
    options = read_sbatch_lines(text, script.name)
    request, shape = read_batch_request(options, script.name)
    recipe = recipe.over(request).over(_walltime(options, script.name))
    if options:
        recipe = recipe.noting(*(f"{script.name} {remark}" for remark in list_lines_not_read(text)))
    if stated := script.stated:
        shape = replace(
            shape,
            nodes=stated.get("cluster.nodes", shape.nodes),
            gpus=stated.get("training.gpus", shape.gpus),
        )
    scope = Scope(
        dict(_slurm_variables(options, shape, script)),
        tuple(map(Word.of, script.arguments)),
        {name: value for name, value in script.environment.items() if not _OF_THE_RUN.match(name)},
        str(script.path),
        str(script.folder),
    )
    scope.read = lambda name: _sourced_text(name, script)
    trace = trace_script(text, scope)
    files = Files(script.folders, trace.files)
    commands, remarks = _settle_folders(open_inner_scripts(trace.commands, scope, files), script)
    launches = choose_launch([_with_exports(command, shape) for command in commands], script.name)
    recipe = recipe.noting(*remarks)
    if re.search(r"\$[@*]", text) and not script.arguments:
        recipe = recipe.noting(
            f"{script.name} hands its own arguments on ($@ or $*): none were given; write them behind its name"
        )
    if launches is None:
        missing = next(
            (
                f"line {command.line} starts {word.text}, which is not here"
                for command in commands
                for word in command.words
                if is_script(word) and files.read(word.text) is None
            ),
            "starts no training that is recognised",
        )
        why = f"{script.name} {missing}: give the command"
        return recipe.asking(Question("run.command", why))
    return read_launch(launches, recipe, shape, files, script)


def _sourced_text(name: str, script: Script) -> str | None:
    """The text of a file of settings beside the script; what sets up an environment is the machine's, and is not followed."""
    if (
        not name.endswith((".sh", ".bash", ".env", ".conf", ".cfg"))
        or name.startswith(("/", "~"))
        or "activate" in name.lower()
    ):
        return None
    file = Files(script.folders).read(name)
    return file.text if file else None


def _walltime(options: Sequence[SbatchOption], name: str) -> Recipe:
    limits = [option for option in options if option.name == "time"]
    return Recipe.of(*(Setting("submit.time", o.value, f"{name} line {o.line}: {o.text}") for o in limits))


def _settle_folders(commands: Iterator[ShellCommand], script: Script) -> tuple[list[ShellCommand], list[str]]:
    """The commands without `cd` to where the run starts anyway, or to a folder that is not on this machine."""
    kept, remarks = list[ShellCommand](), list[str]()
    missing: str | None = None
    here = str(script.folder)
    for command in commands:
        folder = command.folder
        if missing and folder and (folder == missing or folder.startswith(f"{missing}/")):
            folder = posixpath.normpath(f"{here}{folder.removeprefix(missing)}")
        moved = replace(command, folder=folder)
        if command.program != "cd" or folder is None or not command.words[-1].is_known or command.doubt:
            kept.append(moved)
            continue
        target = posixpath.normpath(posixpath.join(command.folder or "", command.words[-1].text))
        if missing is None and not Path(target).is_dir():
            missing = target
            remarks.append(
                f"{script.name} line {command.line}: cd {command.words[-1].text} is left out: there is no such folder here; submit from the one that it means"
            )
        elif target not in (here, missing):
            kept.append(moved)
    return kept, remarks


def _with_exports(command: ShellCommand, shape: BatchShape) -> ShellCommand:
    pairs = (text.partition("=") for text in shape.environment)
    exports = tuple((name, Word.of(value)) for name, _, value in pairs)
    return replace(command, exports=(*exports, *command.exports)) if exports else command


def _slurm_variables(options: Sequence[SbatchOption], shape: BatchShape, script: Script) -> dict[str, Value]:
    """The variables of a job that its options decide (tried on Slurm 22.05)."""
    stated = {option.name: option.value for option in options}
    values = {
        "SLURM_NNODES": shape.nodes,
        "SLURM_JOB_NUM_NODES": shape.nodes,
        "SLURM_GPUS_ON_NODE": shape.gpus_per_node
        if shape.nodes or shape.gpus_per_node == shape.gpus
        else None,
        "SLURM_NTASKS": shape.nodes * shape.tasks_per_node if shape.nodes and shape.tasks_per_node else None,
        "SLURM_NTASKS_PER_NODE": stated.get("ntasks-per-node"),
        "SLURM_CPUS_PER_TASK": shape.cpus_per_task,
        "SLURM_GPUS": stated.get("gpus"),
        "SLURM_GPUS_PER_NODE": stated.get("gpus-per-node"),
        "SLURM_JOB_NAME": stated.get("job-name"),
        "SLURM_JOB_PARTITION": stated.get("partition"),
        "SLURM_JOB_ACCOUNT": stated.get("account"),
        "SLURM_SUBMIT_DIR": script.folder,
    }
    return {name: Word.of(str(value)) for name, value in values.items() if value is not None}
