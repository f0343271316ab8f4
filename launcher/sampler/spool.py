"""A file of checksummed frames: one writer appends, any number of readers follow it.

A frame is 16 bytes of header and a payload, little-endian:

    magic    4 bytes  b"CPF1"
    sequence u32      0, 1, 2, ... in this file
    length   u32      of the payload, in bytes
    crc      u32      CRC-32 of the payload, seeded with the sequence

Frame 0 holds a JSON header, and so do a few later ones: copies, for a reader that finds the first one damaged.  A frame
is built in memory and written by one `write`, so a writer that is killed loses only that frame.  A reader skips damaged
bytes, and counts them.
docs/reference/spool-format.md describes every byte of the file.
"""

import json
import math
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from ...cluster_profiles.modes import open_file
from ...errors import SpoolError
from ...estimator.gpu_use.reading import Event, Tick
from .spool_items import encode

SPOOL_FORMAT = 1
MAGIC = b"CPF1"
SUFFIX = ".spool"
FIRST_COPY, MOST_BETWEEN_COPIES = 60, 3600  # frames: the header is repeated after 60, 120, 240, ... of them
FRAMES_PER_SYNC = 30  # so that at most this many ticks are lost with the power
RETRY_S = 60.0  # between two attempts to write a tick on a disk that is full
LARGEST_PAYLOAD = 1 << 20  # bytes; a larger length is damage

_HEAD = struct.Struct("<4sIII")
FRAME_BYTES = _HEAD.size  # before the payload
_LARGEST_FRAME = _HEAD.size + LARGEST_PAYLOAD
_BLOCK = 1 << 20  # bytes per read


def frame(sequence: int, payload: bytes) -> bytes:
    """Return the frame of number `sequence` that holds `payload`.

    >>> len(frame(0, b"abc"))
    19
    """
    return _HEAD.pack(MAGIC, sequence, len(payload), zlib.crc32(payload, sequence)) + payload


class SpoolWriter:
    """Write a new spool, of mode 0600, as its only writer.  Raises SpoolError when nothing more can be written."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path = path
        try:
            self._file = open_file(path, os.O_EXCL | os.O_APPEND)
        except OSError as error:
            raise SpoolError(f"{path}: cannot be made: {error.strerror}") from None
        self._sequence, self._next_copy = 0, FIRST_COPY
        self._header = json.dumps({"format": SPOOL_FORMAT, "file": path.name, **header}).encode()
        try:
            self._write(self._header)
            os.fsync(self._file)
        except (OSError, SpoolError):
            self.close()
            path.unlink()
            raise SpoolError(f"{path}: its header cannot be written; is the disk full?") from None

    def append(self, payload: bytes) -> None:
        """Write one frame; the whole of it is in the file when this returns."""
        if self._sequence >= self._next_copy:
            self._write(self._header)
            self._next_copy += min(self._next_copy, MOST_BETWEEN_COPIES)
        self._write(payload)

    def _write(self, payload: bytes) -> None:
        data = frame(self._sequence, payload)
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise SpoolError(
                    f"{self._path}: only {written} of {len(data)} bytes were written; is the disk full?"
                )
            self._sequence += 1  # also if it cannot be synced: the frame is in the file
            if self._sequence % FRAMES_PER_SYNC == 0:
                os.fsync(self._file)
        except OSError as error:
            raise SpoolError(f"{self._path}: cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SpoolSink:
    """Write ticks and events into a new spool, whatever its disk does; several threads may share one.

    After a failure a tick tries again only after `RETRY_S` by `now_s`, an event always.  What comes in between is lost,
    and an event says how long that was.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], now_s: Callable[[], float]) -> None:
        self._path, self._header, self._now_s = path, header, now_s
        self._lock = threading.Lock()
        self._writer: SpoolWriter | None = None
        self._fault: SpoolError | None = None
        self._failed_s = self._tried_s = 0.0
        with suppress(SpoolError):
            self._open()

    def put(self, item: Tick | Event) -> None:
        """Write an item, or lose it."""
        with self._lock:
            now_s = self._now_s()
            if self._fault and isinstance(item, Tick) and now_s - self._tried_s < RETRY_S:
                return
            try:
                writer = self._writer or self._open()
                if self._fault:
                    text = f"no reading could be written for {now_s - self._failed_s:.1f} s: {self._fault}"
                    writer.append(encode(Event(now_s, "gap", text)))
                    self._fault = None
                writer.append(encode(item))
            except SpoolError as error:
                self._failed_s = self._failed_s if self._fault else now_s
                self._fault, self._tried_s = error, now_s

    def close(self) -> None:
        """Close the spool.  Raises SpoolError if the latest items could not be written."""
        if self._writer:
            self._writer.close()
        if self._fault:
            raise self._fault

    def _open(self) -> SpoolWriter:
        self._writer = SpoolWriter(self._path, self._header)
        return self._writer


@dataclass(frozen=True)
class Frame:
    """One intact frame, and the byte at which the next one begins."""

    sequence: int
    payload: bytes
    end: int


@dataclass(frozen=True)
class Damage:
    """Bytes that belong to no intact frame."""

    start: int
    end: int


def read_frames(file: BinaryIO, start: int = 0, most_bytes: float = math.inf) -> Iterator[Frame | Damage]:
    """Yield the frames of `file` from byte `start` on, and the damage between them, with a few MiB in memory.

    It ends after about `most_bytes`.

    The bytes after the last intact frame are left for later: they may be a frame that is still being written.

    >>> import io
    >>> data = frame(0, b"a") + b"junk" + frame(1, b"b") + frame(2, b"torn")[:-1]
    >>> [type(f).__name__ for f in read_frames(io.BytesIO(data))]
    ['Frame', 'Damage', 'Frame']
    """
    file.seek(start)
    data, begin, good = b"", start, start  # `data` is the file from `begin` on; all before `good` is yielded
    ended = False
    while not ended:
        block = file.read(_BLOCK) if begin + len(data) - start < most_bytes else b""
        ended = not block
        data, position = data + block, 0
        while (at := data.find(MAGIC, position)) >= 0:
            intact = _frame_at(data, at, begin)
            if intact:
                if good < begin + at:
                    yield Damage(good, begin + at)
                good, position = intact.end, intact.end - begin
                yield intact
            elif ended or len(data) >= at + _LARGEST_FRAME:
                position = at + 1
            else:  # the rest of it may come with the next block
                position = at
                break
        else:
            position = max(position, len(data) - len(MAGIC) + 1)  # a magic may begin in the last bytes
        data, begin = data[position:], begin + position


def _frame_at(data: bytes, offset: int, begin: int) -> Frame | None:
    if len(data) < offset + _HEAD.size:
        return None
    _, sequence, length, crc = _HEAD.unpack_from(data, offset)
    payload_at, end = offset + _HEAD.size, offset + _HEAD.size + length
    if length > LARGEST_PAYLOAD or end > len(data):
        return None
    payload = data[payload_at:end]
    return Frame(sequence, payload, begin + end) if zlib.crc32(payload, sequence) == crc else None
