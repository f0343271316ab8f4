"""A file of checksummed frames: one writer appends, any number of readers follow it.

A frame is 16 bytes of header and a payload, little-endian:

    magic    4 bytes  b"CPF1"
    sequence u32      0, 1, 2, ... in this file
    length   u32      of the payload, in bytes
    crc      u32      CRC-32 of the payload, seeded with the sequence

Frame 0 holds a JSON header.  A frame is built in memory and written by one `write`, so a writer that is
killed loses only that frame; whatever a crash or a bad disk leaves behind is skipped, and counted.
docs/reference/spool-format.md describes the file byte by byte.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import SpoolError

FORMAT = 1
MAGIC = b"CPF1"
SUFFIX = ".spool"
FRAMES_PER_SYNC = 30  # so that at most this many ticks are lost with the power
LARGEST_PAYLOAD = 1 << 20  # bytes; a larger length is damage

_HEAD = struct.Struct("<4sIII")


def frame(sequence: int, payload: bytes) -> bytes:
    """`payload` as the frame of that number.

    >>> len(frame(0, b"abc"))
    19
    """
    return _HEAD.pack(MAGIC, sequence, len(payload), zlib.crc32(payload, sequence)) + payload


class SpoolWriter:
    """The only writer of a new file, made with mode 0600.  Raises SpoolError when nothing more can be written."""

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as error:
            raise SpoolError(f"{path}: cannot be made: {error.strerror}") from None
        self._sequence = 0
        self.append(json.dumps({"format": FORMAT, **header}).encode())
        os.fsync(self._file)

    def append(self, payload: bytes) -> None:
        """Add one frame; it is in the file, whole, when this returns."""
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
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Frame:
    """One intact frame, and where the next one begins."""

    sequence: int
    payload: bytes
    end: int


@dataclass(frozen=True)
class Damage:
    """Bytes that belong to no intact frame."""

    start: int
    end: int


def read_frames(data: bytes, start: int = 0) -> Iterator[Frame | Damage]:
    """The frames of `data` from `start` on, with the damage between them.

    What follows the last intact frame is left alone: it may be a frame that is still being written.

    >>> data = frame(0, b"a") + b"junk" + frame(1, b"b") + frame(2, b"torn")[:-1]
    >>> [type(f).__name__ for f in read_frames(data)]
    ['Frame', 'Damage', 'Frame']
    """
    position, damaged_from = start, None
    while (found := data.find(MAGIC, position)) >= 0:
        intact = _frame_at(data, found)
        if intact is None:
            damaged_from = position if damaged_from is None else damaged_from
            position = found + 1
            continue
        first = position if damaged_from is None else damaged_from
        if first < found:
            yield Damage(first, found)
        damaged_from = None
        yield intact
        position = intact.end


def read_from(path: Path, offset: int) -> tuple[bytes, bytes]:
    """The beginning of a spool, in which its header is, and all from `offset` on.  Raises SpoolError."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size + LARGEST_PAYLOAD)
            file.seek(offset)
            return head, file.read()
    except OSError as error:
        raise SpoolError(f"{path}: cannot be read: {error.strerror}") from None


def _frame_at(data: bytes, offset: int) -> Frame | None:
    if len(data) < offset + _HEAD.size:
        return None
    _, sequence, length, crc = _HEAD.unpack_from(data, offset)
    begin, end = offset + _HEAD.size, offset + _HEAD.size + length
    if length > LARGEST_PAYLOAD or end > len(data):
        return None
    payload = data[begin:end]
    return Frame(sequence, payload, end) if zlib.crc32(payload, sequence) == crc else None


def read_header(path: Path, payload: bytes) -> dict[str, Any]:
    """The JSON of frame 0.  Raises SpoolError for a file of a newer version."""
    try:
        header: dict[str, Any] = json.loads(payload)
        version = int(header["format"])
    except (ValueError, KeyError, TypeError):
        raise SpoolError(f"{path}: its first frame is no header of a spool") from None
    if version > FORMAT:
        raise SpoolError(
            f"{path}: is of format {version}, and this clusterplan reads up to {FORMAT}: upgrade it"
        )
    return header
