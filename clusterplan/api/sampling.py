"""Sample this machine's GPUs while a command runs, or for some time: check first, then run it beside a sampler."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..cluster_profiles.configuration import find_group
from ..cluster_profiles.units import format_duration, plural
from ..errors import InputError, SpoolError
from ..estimator.gpu_use.notes import name_gpus
from ..launcher.clock import VARIABLE, own_clock
from ..launcher.command.checks import why_it_cannot_start, why_it_needs_a_shell
from ..launcher.logs.tail import read_tail
from ..launcher.run_folder.folder import (
    STATUS_FILE,
    create_run_folder,
    history_path,
    register_run,
    runs_root,
    write_json,
)
from ..launcher.run_folder.task_records import process_birth
from ..launcher.sampler.beside import SampledCommand, run_sampled
from ..launcher.sampler.spool_reader import NodeRecord, read_node_records
from ..launcher.secrets.redact import redact_arguments

_SHORTEST_PERIOD_S, _LONGEST_PERIOD_S = 0.05, 3600.0


@dataclass(frozen=True)
class PreparedSample:
    """A command (empty: none) that was checked, and how it is sampled; `warnings` are about the command.

    Sampling stops after `limit_s`, or with the command where it is None.  `period_s` is the time between two readings.
    """

    command: Sequence[str]
    limit_s: float | None
    period_s: float
    name: str
    model: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SampledRun:
    """The end of a sampled run: its folder, why it failed (None: it did not), and what was recorded.

    `exit_code` is the command's; 128 + n if signal n ended it, as a shell says it, and 127 if it could not be started.
    """

    folder: Path
    exit_code: int
    failure: str | None
    remarks: tuple[str, ...]


def prepare_sample(
    command: Sequence[str],
    limit_s: float | None = None,
    period_s: float = 1.0,
    *,
    name: str | None = None,
    model: str | None = None,
) -> PreparedSample:
    """Check how this machine's GPUs are to be sampled; nothing is written.

    `name` is by default the command's.  Raises InputError for a wrong period, for a command that cannot start, and
    where neither a command nor a limit ends the sampling.
    """
    if not _SHORTEST_PERIOD_S <= period_s <= _LONGEST_PERIOD_S:
        raise InputError(
            f"--period: {format_duration(period_s)} must be between {_SHORTEST_PERIOD_S} s and 1 h"
        )
    if not command and limit_s is None:
        raise InputError("nothing to sample: give a command after --, or --for TIME")
    if command and (fault := why_it_cannot_start(command, Path.cwd(), os.environ)):
        raise InputError(fault)
    warning = why_it_needs_a_shell(command) if command else None
    label = name or (Path(command[0]).name if command else "sample")
    return PreparedSample(command, limit_s, period_s, label, model, (warning,) if warning else ())


def run_sample(prepared: PreparedSample) -> SampledRun:
    """Make a run folder, and run the command with a sampler beside it until both have ended.

    Trouble with the readings never disturbs the command: it is a remark.  Raises RunFolderError before the command
    starts.
    """
    command, began, clock = prepared.command, datetime.now(UTC), own_clock()
    facts = {
        "kind": "sample",
        "model": prepared.model,
        "command": redact_arguments(command),
        "host": socket.gethostname(),
        "began_s": began.timestamp(),
        "pid": os.getpid(),
        "birth": process_birth(os.getpid()),
    }
    history = history_path(os.environ)
    folder = create_run_folder(prepared.name, runs_root(os.environ), began, facts, find_group(history))
    register_run(folder, history)
    environment = {**os.environ, VARIABLE: clock.exported()}
    ended = run_sampled(command, folder, prepared.period_s, prepared.limit_s, environment)
    return SampledRun(
        folder, ended.exit_code or 0, _failure(ended), tuple(_write_end(folder, ended, clock.now_s()))
    )


def _failure(ended: SampledCommand) -> str | None:
    if ended.error:
        return f"the command could not be started: {ended.error}"
    return f"the command failed with exit code {ended.exit_code}" if ended.exit_code else None


def _write_end(folder: Path, ended: SampledCommand, ended_s: float) -> Iterator[str]:
    """Write the run's final status, and yield what was recorded; a full disk must not hide the exit code."""
    state = "failed" if ended.exit_code else "completed"
    status = {"state": state, "exit_code": ended.exit_code, "ended_s": ended_s}
    try:
        write_json(folder / STATUS_FILE, status)
    except OSError as error:
        yield f"{folder / STATUS_FILE}: cannot be written: {error.strerror}"
    if not ended.complete:
        stopped_early = f"sampling stopped early: is the disk of {folder} full?"
        yield from read_tail(folder / "sampler.log").strip().splitlines() or [stopped_early]
    try:
        yield from _describe_records(folder)
    except SpoolError as error:
        yield str(error)


def _describe_records(folder: Path) -> Iterator[str]:
    for record in read_node_records(folder):
        if not record.header.is_known:
            yield f"{record.path}: {'its header is lost' if record.tick_count else 'empty'}"
            continue
        gpus = len(record.header.gpus)
        each = "each of " if gpus > 1 else ""
        yield f"{folder.name}: {plural(record.tick_count, 'reading')} of {each}{plural(gpus, 'GPU')} in {folder}"
        for line in _event_lines(record):
            yield f"  {line}"


@dataclass(frozen=True)
class _Gpu:
    node: str
    index: str


def _event_lines(record: NodeRecord) -> Iterator[str]:
    """Yield a line per fact, with the GPUs that it holds for."""
    node = record.header.node
    gpus = [_Gpu(node, gpu.index or str(place)) for place, gpu in enumerate(record.header.gpus)]
    gpus_of: dict[tuple[str, str], list[_Gpu]] = {}
    gaps = [event.text for event in record.events if event.kind == "gap"]
    if gaps:  # a slow driver makes one after the other, each of another length
        yield f"gap: {gaps[0]}" + (f", and {len(gaps) - 1:,} more such" if len(gaps) > 1 else "")
    for event in record.events:
        if event.kind not in ("end", "gap"):
            group = gpus_of.setdefault((event.kind, event.text), [])
            group += gpus[event.gpu : event.gpu + 1] if event.gpu is not None else []
    for (kind, text), group in gpus_of.items():
        yield f"{kind}: {text}" + (f" ({name_gpus(group, gpus)})" if group else "")
