"""The machine that submits, inspected for a job: its program, its script, its folder.  Nothing is changed."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...cluster_profiles.modes import read_umask
from ...estimator.job.run import RunOptions
from ..command.checks import find_program, why_it_cannot_start, why_it_needs_a_shell
from ..command.container import Container, choose_container
from ..command.deepspeed import find_config
from ..command.launchers import own_variables
from ..command.processes import program as processes
from ..command.processes.faults import files_to_read
from ..logs.tail import read_tail
from ..run_folder.owners.own_files import OpenFolder
from ..run_folder.owners.places import find_folder_fault, find_nearest_open_folders

_ENTERING = ("python", "torchrun", "accelerate", "deepspeed")  # they take a Python file
_SHELLS = ("sh", "bash", "zsh", "dash", "ksh")
_ENTERING_MODULES = ("torch.distributed.", "accelerate.", "deepspeed.")
_COMPILE = "import sys, warnings; warnings.simplefilter('ignore'); compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')"
_SAVES = (
    "import importlib.util, pathlib, sys; found = importlib.util.find_spec('transformers');"
    "text = pathlib.Path(found.origin).with_name('training_args.py').read_text(encoding='utf-8') if found else '';"
    "sys.exit('enable_jit_checkpoint' not in text)"
)
_NO_TORCH = 3
_LACKS_TORCH = (
    f"import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('torch') else {_NO_TORCH})"
)
_OTHER_PYTHON = re.compile(r"\b(module|ml|source|conda|mamba|activate|spack)\b|(^|\s)\. |\bPATH=|\bcd\s")
_TIMEOUT_S = 10.0
_LONGEST_SHEBANG = 1000
_LARGEST_CONFIG = 1 << 20  # bytes


@dataclass(frozen=True)
class Machine:
    """The surroundings of a command; a fault is one line, None if there is none.

    `folder` is where runs are kept, without links; `inside_job` is the id of the job this is submitted from, and
    `python` the interpreter the command starts in, None if it is another program.  `deepspeed_config` is the text of
    the config file that the command names, and `trainer_saves` whether its Trainer knows --enable_jit_checkpoint.
    `texts` are those of the scripts that the command names, and `own_variables` what its user sets in place of ours.
    The command runs in `container`, if there is one: then its program is not looked for on this machine.  `umask` is that
    of the shell that submits, as the command's files are to have it; -1 is that of the process which starts it.
    `open_folders` are those on the way to `folder`, and to the folder of checkpoints, in which others may replace things.
    """

    command_fault: str | None
    shell_fault: str | None
    entry_fault: str | None
    folder: Path
    folder_fault: str | None
    inside_job: str | None
    python: str | None = None
    deepspeed_config: str | None = None
    trainer_saves: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    own_variables: Mapping[str, str] = field(default_factory=dict)
    container: Container | None = None
    umask: int = -1
    open_folders: tuple[OpenFolder, ...] = ()


def inspect_machine(
    run: RunOptions,
    cwd: Path,
    folder: Path,
    environ: Mapping[str, str],
    *,
    uses_trainer: bool = False,
    checkpoints: str | None = None,
) -> Machine:
    """Return the surroundings of the command of `run`, run in `cwd`, its runs kept in `folder`.  Raises InputError."""
    command = run.command
    container = _container(run, cwd, environ)
    program = None if container else find_program(command[0], cwd, environ)
    python = _interpreter_of(command, cwd, environ) if program else None
    config = find_config(command)
    not_started = (
        _container_fault(container, cwd, environ) if container else why_it_cannot_start(command, cwd, environ)
    )
    return Machine(
        command_fault=not_started,
        shell_fault=why_it_needs_a_shell(command),
        entry_fault=_entry_fault(command, python, cwd) if program or container else None,
        folder=folder.resolve(),
        folder_fault=find_folder_fault(folder),
        inside_job=environ.get("SLURM_JOB_ID"),
        python=python,
        deepspeed_config=read_tail(cwd / config, _LARGEST_CONFIG) if config else None,
        trainer_saves=bool(uses_trainer and python and _trainer_saves_when_stopped(python, environ)),
        texts=_read_texts(files_to_read(command), cwd),
        own_variables=own_variables(environ),
        container=container,
        umask=read_umask(),
        open_folders=find_nearest_open_folders(folder, *([cwd / checkpoints] if checkpoints else ())),
    )


def _container(run: RunOptions, cwd: Path, environ: Mapping[str, str]) -> Container | None:
    if run.container is None:
        return None
    on_path = [name for name in ("apptainer", "singularity") if find_program(name, cwd, environ)]
    return choose_container(run.container, run.container_mounts, str(cwd), on_path)


def _container_fault(container: Container, cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Return why no command can be started in the container; None if one can."""
    if container.image.startswith("/") and not Path(container.image).exists():
        return f"run.container: {container.image}: no such file"
    if find_program(container.runtime, cwd, environ):
        return None
    return f"run.container: {container.runtime} is not found: load its module before you submit, or put it on PATH"


def _read_texts(names: Sequence[str], cwd: Path) -> dict[str, str]:
    texts = {name: read_tail(cwd / Path(name).expanduser(), _LARGEST_CONFIG) for name in names}
    return {name: text for name, text in texts.items() if text}


def with_real_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Return folders, each followed by its name without links, as the folder of `Machine` has."""
    return tuple(dict.fromkeys(name for folder in folders for name in (folder, str(Path(folder).resolve()))))


def _trainer_saves_when_stopped(python: str, environ: Mapping[str, str]) -> bool:
    """Return whether the Trainer that this interpreter would import knows --enable_jit_checkpoint, as transformers 5 does.

    It is looked for and not imported, which takes seconds.
    """
    return _exit_code(python, _SAVES, environ) == 0


def lacks_torch(python: str, environ: Mapping[str, str]) -> bool:
    """Return whether this interpreter has no torch, and so no torchrun; torch is looked for, not imported."""
    return _exit_code(python, _LACKS_TORCH, environ) == _NO_TORCH


def _exit_code(python: str, code: str, environ: Mapping[str, str]) -> int | None:
    try:
        process = subprocess.run(  # noqa: S603  the interpreter the job will use
            [python, "-c", code],
            env=dict(environ),
            cwd="/",  # nothing there is called torch or transformers
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.returncode


def _entry_fault(command: Sequence[str], python: str | None, cwd: Path) -> str | None:
    """Return why the script of `command` cannot start: it is missing, or no Python to its interpreter; None if it can."""
    entry = _entry(command)
    if entry is None:
        return None
    if not (cwd / entry).is_file():
        return f"{entry}: no such file in {cwd}"
    errors = _compiled(python, cwd / entry) if python else []
    if not errors or "Error" not in errors[-1]:
        return None
    line = next(
        (match[1] for text in reversed(errors) if (match := re.match(r"File .*, line (\d+)", text))), "?"
    )
    return f"{entry}:{line}: {errors[-1]}"


def _entry(command: Sequence[str]) -> str | None:
    if Path(command[0]).name in _SHELLS:  # after an option the word may be one of its values
        return next(
            (w for w in command[1:2] if w.endswith(".sh") and "{" not in w and w[0] not in "-~$"), None
        )
    if not Path(command[0]).name.startswith(_ENTERING) or "-c" in command:
        return None
    if "-m" in command and not any(word.startswith(_ENTERING_MODULES) for word in command):
        return None  # a module's own arguments
    return next(
        (w for w in command[1:] if w.endswith(".py") and not w.startswith("-") and "{" not in w), None
    )


def _compiled(interpreter: str, path: Path) -> list[str]:
    """Return the lines of the interpreter's error for a file that it only compiles; none if there is no error."""
    try:
        process = subprocess.run(  # noqa: S603  the interpreter the job will use
            [interpreter, "-I", "-S", "-c", _COMPILE, path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return (
        [line.strip() for line in process.stderr.splitlines() if line.strip()] if process.returncode else []
    )


def _interpreter_of(command: tuple[str, ...], cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Return the Python that a command starts in the end; None if it starts none, or only the run finds it."""
    inner = processes.find_program(command)
    if _OTHER_PYTHON.search(inner.text or "") or "PATH" in inner.variables:
        return None
    program = find_program(inner.words[0].strip("'\""), cwd, environ)
    return _interpreter(program) if program else None


def _interpreter(program: str) -> str | None:
    if Path(program).name.startswith("python"):
        return program
    try:
        with Path(program).open("rb") as file:
            first = os.fsdecode(file.readline(_LONGEST_SHEBANG))
    except OSError:
        return None
    shebang = first.removeprefix("#!").split() if first.startswith("#!") else []
    return shebang[0] if len(shebang) == 1 and "python" in shebang[0] else None
