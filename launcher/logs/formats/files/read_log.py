"""A log from a file or a folder, whatever its kind: its records, in constant memory where it is text."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from .....cluster_profiles.files.bounded_file import open_regular, read_bytes
from .....errors import InputError, UnreadableFile
from ..frameworks.catalogue import FORMATS
from ..frameworks.files import TENSORBOARD
from ..job_length import JobLength
from ..log_format import LogFormat
from ..record import LogRecord, RecordKind
from ..stream import StreamReader
from .metrics_csv import is_metrics_csv, read_metrics_csv
from .tensorboard import is_event_file, read_scalars, records_of_scalars
from .trainer_state import STATE_FILE, read_trainer_state

_PIECE_BYTES, _HEAD_BYTES = 1 << 16, 1 << 12
_MOST_EVENT_BYTES = 256 << 20
_EVENTS = "events.out.tfevents.*"


def read_log(
    path: Path, formats: Sequence[LogFormat] = FORMATS, length: JobLength | None = None
) -> Iterator[LogRecord]:
    """Yield the records of a file, or of a folder with TensorBoard's events or the Trainer's checkpoints.

    Raises InputError for a path that cannot be read, or a state file that is torn.
    """
    try:
        yield from _read(path, formats, length)
    except UnreadableFile as error:
        raise InputError(str(error)) from None
    except csv.Error as error:
        raise InputError(f"{path}: is no table: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read(path: Path, formats: Sequence[LogFormat], length: JobLength | None) -> Iterator[LogRecord]:
    if path.is_dir():
        yield from _read_folder(path)
        return
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    if is_event_file(head):
        yield from _read_events([path])
    elif path.name == STATE_FILE or b'"log_history"' in head:
        yield from read_trainer_state(path)
    elif is_metrics_csv(head.split(b"\n", 1)[0].decode(errors="replace")):
        with path.open(encoding="utf-8", errors="replace", newline="") as text:
            yield from read_metrics_csv(text)
    else:
        yield from _read_text(path, StreamReader(formats, length))


def _read_text(path: Path, reader: StreamReader) -> Iterator[LogRecord]:
    with open_regular(path) as file:
        while piece := file.read(_PIECE_BYTES):
            yield from reader.feed(piece, None, None)
    yield from reader.finish()


def _read_events(files: Sequence[Path]) -> Iterator[LogRecord]:
    """Yield the records of event files in the order of their names, which begin with the time; each is a start."""
    for file in files:
        yield LogRecord(RecordKind.START, TENSORBOARD.name)
        yield from records_of_scalars(read_scalars(read_bytes(file, _MOST_EVENT_BYTES)))


def _read_folder(folder: Path) -> Iterator[LogRecord]:
    if events := sorted(folder.glob(_EVENTS)):
        yield from _read_events(events)
        return
    states = list(folder.glob(f"checkpoint-*/{STATE_FILE}"))
    if not states:
        raise InputError(
            f"{folder}: has neither TensorBoard's events ({_EVENTS}) nor the Trainer's checkpoints (checkpoint-*/{STATE_FILE})"
        )
    yield from read_trainer_state(max(states, key=lambda file: file.stat().st_mtime))
