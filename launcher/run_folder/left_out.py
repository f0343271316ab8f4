"""Checkpoints that a start could not go on from, a line each: later starts leave them out, until they are saved anew."""

import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...cluster_profiles.modes import open_file
from .checkpoints import Checkpoint, find_checkpoints, find_newest_checkpoint
from .launch import Launch
from .records.files import read_lines
from .records.values import Seconds

LEFT_OUT_FILE = "left_out.jsonl"


class Save(NamedTuple):
    """A checkpoint as it was saved once: its path, and when it last changed, in Unix seconds."""

    path: str
    changed_s: Seconds


def append_left_out(folder: Path, save: Save) -> bool:
    """Append a checkpoint that later starts leave out; return whether that could be written."""
    line = json.dumps(save._asdict()) + "\n"
    with suppress(OSError):
        file = open_file(folder / LEFT_OUT_FILE, os.O_APPEND)
        try:
            return os.write(file, line.encode()) == len(line.encode())
        finally:
            os.close(file)
    return False


def withdraw_left_out(folder: Path) -> None:
    """Leave out none any more: no other checkpoint helped either, so the command is at fault."""
    with suppress(OSError):
        (folder / LEFT_OUT_FILE).unlink()


def read_left_out(folder: Path) -> Collection[Save]:
    """Return the checkpoints that a start leaves out, in order.  A torn line is left out.  Raises UnreadableFile."""
    return read_lines(Save, folder / LEFT_OUT_FILE)


def find_resumable(folder: Path, launch: Launch) -> Iterator[Checkpoint]:
    """Return the checkpoints that the run in `folder` may go on from, the newest first, without those left out."""
    if not launch.output:
        return iter(())
    left_out = read_left_out(folder)
    checkpoints = find_checkpoints(Path(launch.output), launch.checkpoint_pattern)
    return (each for each in checkpoints if Save(each.path, each.changed_s) not in left_out)


def find_newest_of_run(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run, left out or not; None without one.  Raises UnreadableFile."""
    launch = Launch.find(folder)
    if launch is None or not launch.output:
        return None
    return find_newest_checkpoint(Path(launch.output), launch.checkpoint_pattern)
