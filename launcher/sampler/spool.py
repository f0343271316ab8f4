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
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from ...cluster_profiles.modes import open_file
from ...errors import SpoolError

SPOOL_FORMAT = 1
MAGIC = b"CPF1"
SUFFIX = ".spool"
FIRST_COPY, MOST_BETWEEN_COPIES = 60, 3600  # frames: the header is repeated after 60, 120, 240, ... of them
FRAMES_PER_SYNC = 30  # so that at most this many ticks are lost with the power
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
        self._write(self._header)
        os.fsync(self._file)

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
            if self._sequence % FRAMES_PER_SYNC == FRAMES_PER_SYNC - 1:
                os.fsync(self._file)
        except OSError as error:
            raise SpoolError(f"{self._path}: cannot be written: {error.strerror}") from None
        if written < len(data):
            raise SpoolError(
                f"{self._path}: only {written} of {len(data)} bytes were written; is the disk full?"
            )
        self._sequence += 1

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def read_frames(file: BinaryIO, start: int = 0) -> Iterator[Frame | Damage]:
    """Yield the frames of `file` from byte `start` on, and the damage between them, with a few MiB in memory.

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
        block = file.read(_BLOCK)
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
