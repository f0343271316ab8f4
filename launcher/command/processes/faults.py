"""What a command would do with its GPUs that nobody wants: wait for ever, or train on one node or GPU of several."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ....estimator.job.framework import Bootstrap
from .accelerate_config import DEFAULT_CONFIG, parse_accelerate_config
from .exit_code import hidden_exit_code
from .launcher import Launcher, launcher_of
from .nodes import LOOPBACK, RENDEZVOUS, Surroundings, missing_on_nodes, unused_gpus
from .program import Program, WriteOut, find_program, programs_in, script_of, shell_text
from .wrappers import runs_a_task, unwrap

_PYTHON = re.compile(
    r"(?:\S*/)?python[\d.]*(?: .*)?|[^\s=-]\S*\.(?:py|ipynb)"
)  # docker run IMAGE python t.py
_SPAWNS = re.compile(
    r"\b(?:mp|multiprocessing)\.spawn\(|\bstart_processes\(|\bdeepspeed\.launcher\b|\bnotebook_launcher\("
)
_QUEUE = {
    "sbatch": "sbatch queues another job, and this one ends at once: give the command that its script runs",
    "salloc": "salloc waits for GPUs of its own while this job holds some: leave it out",
}


class CommandFault(NamedTuple):
    """A fault under a stable code, in one line; `refuses` if the job must not be submitted."""

    code: str
    text: str
    refuses: bool = False


def files_to_read(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files whose text says what `command` starts: scripts of a shell, and accelerate's config.

    >>> files_to_read(("bash", "train.sh")), files_to_read(("accelerate", "launch", "--config_file=two.yaml", "t.py"))
    (('train.sh',), ('two.yaml',))
    """
    names = [_script_of_runner(command), _python_file(command)]
    for program in programs_in(command, {}):
        names.append(script_of(program))
        launcher = launcher_of(program)
        if launcher and launcher.name == "accelerate":
            names.append(launcher.options.get("--config_file", DEFAULT_CONFIG))
    return tuple(name for name in names if name and not {*name} & {*"{}$`"})


def find_command_faults(
    command: tuple[str, ...],
    bootstrap: Bootstrap,
    around: Surroundings,
    texts: Mapping[str, str],
    *,
    is_stated: bool,
    is_python_script: bool = False,
    write_out: WriteOut | None = None,
) -> list[CommandFault]:
    """Return the faults of `command`, which is started by `bootstrap`; `is_stated` if the user chose that.

    `texts` are those of `files_to_read`, by name; `is_python_script` if the program's first line names Python.
    `write_out` is that of `programs_in`.

    >>> [fault.code for fault in find_command_faults(("srun", "python", "t.py"), Bootstrap.SINGLE, Surroundings(1, 1), {}, is_stated=False)]
    ['srun']
    """
    programs = programs_in(command, texts, write_out)
    faults = [*_slurm_faults(command, programs), *_meeting_faults(around)]
    if (shell := shell_text(command, texts)) and (hidden := hidden_exit_code(command, shell)):
        faults.append(CommandFault("exit-code", hidden))
    faults += [
        CommandFault(
            "shell",
            f"{name}: its lines end as on Windows, which a shell takes for a part of words: dos2unix {name}",
        )
        for program in programs
        if (name := script_of(program)) and "\r\n" in texts.get(name, "")
    ]
    faults += _hidden_gpus(programs, around)
    if bootstrap is Bootstrap.TORCHRUN:
        faults += _requirement_faults(command, texts)
        faults += _spawn_faults(command, texts)
    if bootstrap is not Bootstrap.SINGLE or any(fault.refuses for fault in faults):
        return faults
    launchers = [launcher for program in programs if (launcher := launcher_of(program))]
    for launcher in launchers:
        inside = {**around.variables, **programs[0].variables, **launcher.program.variables}
        place = Surroundings(around.nodes, around.gpus, inside, _config(launcher, texts))
        if lack := missing_on_nodes(launcher, place):
            faults.append(CommandFault("node-alone", _alone_text(lack, launcher, around)))
        elif idle := unused_gpus(launcher, place):
            faults.append(CommandFault("one-process", idle))
    hides_python = is_python_script or _hides_python(command, programs, texts)
    if not launchers and around.gpus > 1 and not is_stated and hides_python:
        faults.append(CommandFault("one-process", _one_process_text(programs, around)))
    return list(dict.fromkeys(faults))


def _hides_python(command: tuple[str, ...], programs: list[Program], texts: Mapping[str, str]) -> bool:
    """Return whether Python may start where torchrun cannot take its place: in a script, or as a task of a runner."""
    scripts = [script for program in programs if (script := script_of(program))]
    is_unread = any(script not in texts for script in scripts)
    outer = programs[0]
    names_python = not outer.is_shell and any(_PYTHON.fullmatch(word) for word in outer.words[1:])
    return is_unread or runs_a_task(command) or names_python or any(each.is_python for each in programs)


def _slurm_faults(command: tuple[str, ...], programs: list[Program]) -> Iterator[CommandFault]:
    for program in programs:
        if program.name == "srun" and "--overlap" not in program.words:
            text = (
                "srun in the command: leave it out: clusterplan starts the command over all nodes, and an srun inside "
                "waits for GPUs that its own job holds"
            )
            yield CommandFault("srun", text, refuses=True)
            return
    main = find_program(command).name
    if main in _QUEUE and len(programs) <= 2:  # noqa: PLR2004  the shell and this one
        yield CommandFault("srun", _QUEUE[main], refuses=True)


def _script_of_runner(command: tuple[str, ...]) -> str | None:
    """Return the Python file that `uv run X.py` and the like start; None if Python is named."""
    runner = unwrap(command)
    return command[runner.at] if runner.needs_python and not runner.module_words else None


def _python_file(command: tuple[str, ...]) -> str | None:
    """Return the file that Python is given; None if it is a module, or follows other options."""
    program = find_program(command)
    words = [word for word in program.words[1:3] if word != "-u"] if program.is_python else []
    return words[0] if words and words[0].endswith(".py") else None


def _spawn_faults(command: tuple[str, ...], texts: Mapping[str, str]) -> Iterator[CommandFault]:
    """Yield a fault if the script starts a process per GPU itself, and does not look for those of torchrun."""
    script = _python_file(command)
    text = texts.get(script or "", "")
    if (match := _SPAWNS.search(text)) and "LOCAL_RANK" not in text:
        own = f"{script} starts processes itself ({match[0].rstrip('(')}), and torchrun starts the script once per GPU"
        yield CommandFault("torchrun", f"{own}: add --bootstrap single if it is to be started once")


def _hidden_gpus(programs: list[Program], around: Surroundings) -> Iterator[CommandFault]:
    for program in programs:
        visible = program.variables.get("CUDA_VISIBLE_DEVICES", "").strip("'\"")
        if re.fullmatch(r"[\d,]+", visible) and len(visible.split(",")) < around.gpus_per_node:
            text = f"CUDA_VISIBLE_DEVICES={visible} in the command hides GPUs that the job holds: leave it out, because Slurm sets it"
            yield CommandFault("one-process", text)
            return


def _requirement_faults(command: tuple[str, ...], texts: Mapping[str, str]) -> Iterator[CommandFault]:
    script = _script_of_runner(command)
    if script and re.search(r"(?m)^# /// script$", texts.get(script, "")):  # PEP 723
        text = (
            f"{script} has its requirements inside (# /// script), and torchrun starts without them: put them into "
            f"the project, or after --with"
        )
        yield CommandFault("torchrun", text)


def _meeting_faults(around: Surroundings) -> Iterator[CommandFault]:
    address = around.variables.get("MASTER_ADDR")
    if around.nodes > 1 and address in LOOPBACK:
        text = f"MASTER_ADDR={address} of your environment is another place on each of {around.nodes} nodes: unset it, and it is the first node"
        yield CommandFault("node-alone", text)


def _alone_text(lack: str, launcher: Launcher, around: Surroundings) -> str:
    nodes = f"{around.nodes} nodes"
    alone = (
        f"{lack} trains on one of {nodes}"
        if launcher.reaches_other_nodes
        else f"{lack} leaves each of {nodes} alone"
    )
    if launcher.is_mpi:
        return (
            f"{alone}: leave it out and add --bootstrap per-gpu, which starts a rank per GPU on all of them"
        )
    if launcher.name in ("llamafactory-cli", "lmf", "swift", "megatron"):
        return f"{alone}: unset it, and it is {around.nodes}"
    add = RENDEZVOUS.get(launcher.name)
    inside = f"in bash -c '...', add {add}" if add else ""
    if launcher.name == "tune":  # what it starts is a recipe of its own
        return f"{alone}: {inside}"
    if launcher.name == "axolotl":
        return f"{alone}: give python -m axolotl.cli.train instead, and clusterplan starts it on all of them"
    python = (
        f"leave out {launcher.name} and its options, and clusterplan starts the Python command on all of them"
    )
    return f"{alone}: {python}{'; or, ' if inside else ''}{inside}"


def _one_process_text(programs: list[Program], around: Surroundings) -> str:
    program, script = programs[0], next(filter(None, map(script_of, programs)), None)
    started = f"one process per node starts, and the job has {around.gpus} GPUs"
    meant = "--bootstrap single says that one is meant"
    if script:
        return f"{script}: {started}: call torchrun in it, or give the Python command instead of the script; {meant}"
    if program.is_shell:
        return f"{started}: torchrun can take the place of Python only in the last command of `{program.name} -c`: put it last, or call torchrun; {meant}"
    return f"{program.name}: {started}: give the Python command that it runs, and torchrun starts it on each GPU; {meant}"


def _config(launcher: Launcher, texts: Mapping[str, str]) -> Mapping[str, Any] | None:
    if launcher.name != "accelerate":
        return None
    text = texts.get(launcher.options.get("--config_file", DEFAULT_CONFIG))
    return None if text is None else parse_accelerate_config(text)
