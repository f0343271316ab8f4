"""`clusterplan sample`."""

import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from ..cluster_profiles.units import format_duration, plural
from ..errors import InputError, SpoolError
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
from ..launcher.sampler.spool_reader import read_node_records
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
    help="Sample for so long; else until the command ends.",
)
@click.option(
    "--period",
    metavar="TIME",
    default="1s",
    show_default=True,
    callback=duration_s,
    help="Time between samples.",
)
@click.option(
    "--name", metavar="TEXT", callback=utf8_text, help="Labels the run; else the command's own name."
)
@click.option("--model", metavar="TEXT", callback=utf8_text, help="The model it trains, to find its runs by.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sample(
    for_: float | None, period: float, name: str | None, model: str | None, command: tuple[str, ...]
) -> None:
    """Record what the GPUs of this machine do while a command runs.

    The samples go into a run folder under runs/; the command is not disturbed whatever happens to them.
    Exit code 1 if the command failed; it is said with which code.

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
    _say(folder, ended)
    if ended.error:
        raise click.ClickException(f"the command could not be started: {ended.error}")
    if ended.exit_code:
        raise click.ClickException(f"the command failed with exit code {ended.exit_code}")


def _check(command: Sequence[str]) -> None:
    if fault := why_it_cannot_start(command, Path.cwd(), os.environ):
        raise InputError(fault)
    if fault := why_it_needs_a_shell(command):
        say(fault)


def _say(folder: Path, ended: SampledCommand) -> None:
    """What was recorded, on stderr; a full disk must not hide how the command ended."""
    state = "failed" if ended.exit_code else "completed"
    status = {"state": state, "exit_code": ended.exit_code, "ended_s": datetime.now(UTC).timestamp()}
    try:
        write_json(folder / STATUS_FILE, status)
    except OSError as error:
        say(f"{folder / STATUS_FILE}: cannot be written: {error.strerror}")
    if not ended.complete:
        say(read_tail(folder / "sampler.log").strip() or f"sampling stopped early; {folder} may be full")
    try:
        _say_records(folder)
    except SpoolError as error:
        say(str(error))


def _say_records(folder: Path) -> None:
    for record in read_node_records(folder):
        gpus = plural(len(record.header["gpus"]), "GPU")
        say(f"{folder.name}: {plural(record.tick_count, 'sample')} of {gpus} in {folder}")
        for event in record.events:
            if event.kind != "end":
                say(f"  {event.kind}: {event.text}")
