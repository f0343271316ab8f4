"""The file of a task, as the task itself writes it: replaced in one step, stamped by the clock of its disk."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...cluster_profiles.modes import make_inner_folder
from ..clock import RunClock, offset_of_file, own_clock
from .folder import TASKS, write_json
from .task_records import TaskRecord, is_same_task, read_task_record

_BY_CLOCK = ("began_s", "beat_s", "ended_s")


class TaskFile:
    """The file of one task, whose times are by the run's clock.  Where it cannot be written, the training goes on.

    The disk stamps each new file: where its clock is another, all times of the record are moved to it, and `clock` is it.
    A controller that was killed forgets its last requeues and counts them anew.  So `before` may be an earlier start of
    the same number; the file is the later one's.
    """

    def __init__(self, folder: Path, record: TaskRecord) -> None:
        self._folder = folder / TASKS
        make_inner_folder(self._folder)
        self.before = read_task_record(folder, record.file_name)
        self.record, self.clock = record, own_clock()
        self.update()

    def update(self, **changes: Any) -> TaskRecord:
        """Replace these fields, and the file; return the new record."""
        self.record = replace(self.record, beat_s=self.clock.now_s(), **changes)
        if ahead_s := self._write():
            self.clock, was = RunClock(self.clock.offset_s + ahead_s), self.record
            moved = {
                name: time_s + ahead_s for name in _BY_CLOCK if (time_s := getattr(was, name)) is not None
            }
            self.record = replace(was, **moved, clock_s=self.clock.ahead_s())
            self._write()
        return self.record

    def now_s(self) -> float:
        """Return the Unix time by the run's clock."""
        return self.clock.now_s()

    def _write(self) -> float:
        """Write the file; return by how much the disk's clock is ahead of the run's."""
        path, before_s = self._folder / self.record.file_name, self.clock.now_s()
        writer = read_task_record(self._folder.parent, self.record.file_name)
        if writer and not (is_same_task(writer, self.record) or writer == self.before):
            return 0.0
        try:
            write_json(path, asdict(self.record))
        except OSError:
            with suppress(OSError):  # on a full disk the old content leaves room for the new
                _overwrite(path, json.dumps(asdict(self.record)).encode())
        try:
            return offset_of_file(before_s, path.stat().st_mtime, self.clock.now_s())
        except OSError:
            return 0.0


def _overwrite(path: Path, data: bytes) -> None:
    """Write the file in place: a reader may see a part of it, and then reads again later."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(file, os.write(file, data))
    finally:
        os.close(file)
