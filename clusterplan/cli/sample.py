"""`clusterplan sample`."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from ..cluster_profiles.units import format_duration, plural
from ..errors import InputError, SpoolError
from ..estimator.gpu_use.notes import name_gpus
from ..launcher.command.checks import why_it_cannot_start, why_it_needs_a_shell
from ..launcher.run_folder.folder import (
    STATUS_FILE,
    create_run_folder,
    history_path,
    register_run,
    runs_root,
    write_json,
)
from ..launcher.run_folder.log_errors import read_tail
from ..launcher.run_folder.task_records import process_birth
from ..launcher.sampler.beside import SampledCommand, run_sampled
from ..launcher.sampler.spool_reader import NodeRecord, read_node_records
from ..launcher.submission.snapshot import redact
from .options import duration_s, say, utf8_text
from .passthrough import WithCommand

_SHORTEST_PERIOD_S, _LONGEST_PERIOD_S = 0.05, 3600.0


@click.command(cls=WithCommand)
@click.option(
    "--for",
    "for_",
    metavar="TIME",
    callback=duration_s,
    help="Stop sampling after TIME.  Default: when the command ends.",
)
@click.option(
    "--period",
    metavar="TIME",
    default="1s",
    show_default=True,
    callback=duration_s,
    help="Time between two readings of a GPU.",
)
@click.option(
    "--name", metavar="TEXT", callback=utf8_text, help="Name of the run.  Default: the command's name."
)
@click.option(
    "--model",
    metavar="TEXT",
    callback=utf8_text,
    help="Name of the model that the command trains: runs of one model inform each other.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sample(
    for_: float | None, period: float, name: str | None, model: str | None, command: tuple[str, ...]
) -> None:
    """Record the use of this machine's GPUs while a command runs.

    The readings go into a run folder under runs/.  Trouble with them never disturbs the command.
    The exit code is 1 if the command failed; a message names the command's own exit code.

        clusterplan sample -- python train.py

        clusterplan sample --for 60s
    """
    if not _SHORTEST_PERIOD_S <= period <= _LONGEST_PERIOD_S:
        raise InputError(
            f"--period: {format_duration(period)} must be between {_SHORTEST_PERIOD_S} s and 1 h"
        )
    if not command and for_ is None:
        raise InputError("nothing to sample: give a command after --, or --for TIME")
    if command:
        _check(command)
    label = name or (Path(command[0]).name if command else "sample")
    began = datetime.now(UTC)
    facts = {
        "kind": "sample",
        "model": model,
        "command": redact(command),
        "host": socket.gethostname(),
        "began_s": began.timestamp(),
        "pid": os.getpid(),
        "birth": process_birth(os.getpid()),
    }
    folder = create_run_folder(label, runs_root(os.environ), began, facts)
    register_run(folder, history_path(os.environ))
    ended = run_sampled(command, folder, period, for_, os.environ)
    _write_end(folder, ended)
    if ended.error:
        raise click.ClickException(f"the command could not be started: {ended.error}")
    if ended.exit_code:
        raise click.ClickException(f"the command failed with exit code {ended.exit_code}")


def _check(command: Sequence[str]) -> None:
    if fault := why_it_cannot_start(command, Path.cwd(), os.environ):
        raise InputError(fault)
    if fault := why_it_needs_a_shell(command):
        say(fault)


def _write_end(folder: Path, ended: SampledCommand) -> None:
    """Write the run's final status, and say on stderr what was recorded; a full disk must not hide the exit code."""
    state = "failed" if ended.exit_code else "completed"
    status = {"state": state, "exit_code": ended.exit_code, "ended_s": datetime.now(UTC).timestamp()}
    try:
        write_json(folder / STATUS_FILE, status)
    except OSError as error:
        say(f"{folder / STATUS_FILE}: cannot be written: {error.strerror}")
    if not ended.complete:
        say(
            read_tail(folder / "sampler.log").strip()
            or f"sampling stopped early: is the disk of {folder} full?"
        )
    try:
        _say_records(folder)
    except SpoolError as error:
        say(str(error))


def _say_records(folder: Path) -> None:
    for record in read_node_records(folder):
        gpus = len(record.header["gpus"])
        each = "each of " if gpus > 1 else ""
        say(
            f"{folder.name}: {plural(record.tick_count, 'reading')} of {each}{plural(gpus, 'GPU')} in {folder}"
        )
        for line in _event_lines(record):
            say(f"  {line}")


@dataclass(frozen=True)
class _Gpu:
    node: str
    index: str


def _event_lines(record: NodeRecord) -> Iterator[str]:
    """Yield a line per fact, with the GPUs that it holds for."""
    node = record.header["node"]
    gpus = [_Gpu(node, str(gpu.get("index", place))) for place, gpu in enumerate(record.header["gpus"])]
    gpus_of: dict[tuple[str, str], list[_Gpu]] = {}
    for event in record.events:
        if event.kind != "end":
            group = gpus_of.setdefault((event.kind, event.text), [])
            group += [] if event.gpu is None else [gpus[event.gpu]]
    for (kind, text), group in gpus_of.items():
        yield f"{kind}: {text}" + (f" ({name_gpus(group, gpus)})" if group else "")
