"""Follow the files in which a framework keeps its metrics: they tell what a log may not, and TensorBoard's have a clock.

They are looked for in the output folder of the run, and where Lightning puts them on Slurm.  A file that is older than
this start of the run is not its own.
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ...clock import RunClock
from ...logs.formats.files.metrics_csv import is_metrics_csv, read_metrics_csv
from ...logs.formats.files.tensorboard import is_event_file, read_scalars, records_of_scalars
from ...logs.formats.frameworks.files import FILES
from ...logs.formats.loop_lines import Intervals
from ...logs.formats.record import LogRecord, RecordKind
from .followed_log import CommandStart
from .progress_writer import ProgressWriter

_LOOK_S = 10.0
_LEVELS = 4  # of folders below the output
_MOST_FILES = 8
_MOST_BYTES = 1 << 23  # of scalars; a file with pictures is larger, and is left alone
_HEAD_BYTES = 1 << 12


def folders_to_look_in(output: str | None, cwd: str, job: str) -> tuple[Path, ...]:
    """Return where this run's files may be: no other run writes there."""
    lightning = Path(cwd, "lightning_logs", f"version_{job}")
    return (*((Path(output),) if output else ()), lightning)


class MetricFiles:
    """The files with metrics of one start of a run, in `folders`."""

    def __init__(self, folders: Sequence[Path], attempt: str, start: CommandStart, clock: RunClock) -> None:
        self._folders, self._attempt, self._start, self._clock = folders, attempt, start, clock
        self._files = dict[Path, _MetricFile]()
        self._next_s = start.monotonic_s + _LOOK_S

    def look(self, writer: ProgressWriter) -> None:
        """Read what is new, if it is time."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _LOOK_S
            self.read(writer)

    def read(self, writer: ProgressWriter) -> None:
        """Read what is new in all files."""
        for path in self._find():
            if path not in self._files and len(self._files) < _MOST_FILES:
                self._files[path] = _MetricFile(path, self._attempt, self._start, self._clock)
        for file in self._files.values():
            with suppress(OSError):  # it may be replaced just now
                file.read(writer)

    def finish(self, writer: ProgressWriter) -> None:
        """Read the rest, and write the steps since the last lines."""
        self.read(writer)
        for file in self._files.values():
            writer.write(file.intervals.finish(), file.intervals.source)

    def _find(self) -> Iterator[Path]:
        for root in self._folders:
            for folder, folders, names in os.walk(root):
                depth = len(Path(folder).relative_to(root).parts)
                folders[:] = [name for name in folders if depth < _LEVELS and "checkpoint" not in name]
                for name in names:
                    path = Path(folder, name)
                    if name == "metrics.csv" or ".tfevents." in name:
                        with suppress(OSError):
                            if path.stat().st_mtime >= self._start.time_s:
                                yield path


class _MetricFile:
    """One file, and how much of it was read."""

    def __init__(self, path: Path, attempt: str, start: CommandStart, clock: RunClock) -> None:
        self._path, self._bytes, self._records, self._clock = path, 0, 0, clock
        self.intervals = Intervals(attempt, FILES)
        is_clocked = ".tfevents." in path.name
        self.intervals.add(
            LogRecord(RecordKind.START, "", time_s=start.time_s, step=start.step)
            if is_clocked
            else LogRecord(RecordKind.START, "", start.time_s, start.monotonic_s, step=start.step)
        )

    def read(self, writer: ProgressWriter) -> None:
        """Read the file again if it has grown, and take the records that are new."""
        size = self._path.stat().st_size
        if size == self._bytes or size > _MOST_BYTES:
            return
        self._bytes = size
        records = list(_read_records(self._path.read_bytes()))
        if len(records) < self._records:  # written anew, with a column more
            self._records = 0
        for record in _stamp(records[self._records :], self._clock.now_s()):
            writer.write(self.intervals.add(record), self.intervals.source)
        self._records = len(records)


def _stamp(records: Sequence[LogRecord], now_s: float) -> Iterator[LogRecord]:
    """Stamp records without a clock with the present time, which is that of the last step of those that came together."""
    monotonic_s = time.monotonic()
    last = max((at for at, record in enumerate(records) if record.kind is RecordKind.STEP), default=-1)
    for at, record in enumerate(records):
        if record.time_s is not None:
            yield record
        elif at == last or record.kind is not RecordKind.STEP:
            yield dataclasses.replace(record, arrival_s=now_s, monotonic_s=monotonic_s)


def _read_records(data: bytes) -> Iterator[LogRecord]:
    if is_event_file(data[:_HEAD_BYTES]):
        yield from records_of_scalars(read_scalars(data))
        return
    lines = data[: data.rfind(b"\n") + 1].decode(errors="replace").splitlines()
    if lines and is_metrics_csv(lines[0]):
        yield from read_metrics_csv(lines)
