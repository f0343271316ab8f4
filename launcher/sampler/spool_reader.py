"""The record that the sampler of one node wrote: a spool, of any length, read whatever happened to it.

This is the one place that reads a spool.  A damaged header is taken from a copy of it; without one, the ticks are of
GPUs that nobody knows.  A frame whose sequence does not grow is a copy of an earlier one, and counts as damage.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...cluster_profiles.files.bounded_file import open_regular
from ...errors import SpoolError, UnreadableFile
from ...estimator.gpu_use.reading import Event, SpoolPosition, Tick, largest_values, leave_out_impossible
from .spool import FRAME_BYTES, MAGIC, SUFFIX, Damage, Frame, read_frames
from .spool_header import SpoolHeader, is_header, parse_header, unknown_header
from .spool_items import decode, is_item, is_tick

_HEADER_BYTES = 64 << 20  # in which a header, or another frame, is looked for


@dataclass(frozen=True)
class NodeRecord:
    """The header of a spool, its events in order, the number of its ticks, and of its damaged bytes."""

    path: Path
    header: SpoolHeader
    tick_count: int
    events: tuple[Event, ...]
    damaged_bytes: int

    def ticks(self) -> Iterator[Tick]:
        """Yield the ticks in order, read anew: weeks of them do not fit in memory.  Raises SpoolError."""
        with open_spool(self.path) as (file, header):
            for item, _ in read_items(file, header):
                if isinstance(item, Tick):
                    yield item


@contextmanager
def open_spool(path: Path) -> Iterator[tuple[BinaryIO, SpoolHeader]]:
    """Open a spool: its file, to read items from, and its header.

    The header of a spool whose sampler was killed before it wrote one is not known, and there are no items.  Raises
    SpoolError if the file cannot be read, is no spool, or has a newer format.
    """
    try:
        with open_regular(path) as file:
            yield file, _find_header(path, file)
    except OSError as error:
        raise SpoolError(f"{path}: cannot be read: {error.strerror}") from None
    except UnreadableFile as error:
        raise SpoolError(str(error)) from None


def read_items(
    file: BinaryIO, header: SpoolHeader, start: SpoolPosition | None = None
) -> Iterator[tuple[Tick | Event | None, SpoolPosition]]:
    """Yield the items of a spool from a position on, each with the position after it.

    An item is None where a frame has none: a header, a copy, or what cannot be read.  Values that cannot be are left
    out, and counted.
    """
    unreadable = dropped = 0
    most = dict[int, tuple[float, ...]]()
    for payload, position in _read_payloads(file, start or SpoolPosition()):
        item = None
        if payload is not None and not is_header(payload):
            try:
                item, number = _leave_out_impossible(_decode(payload, header), header, most)
                dropped += number
            except SpoolError:
                unreadable += FRAME_BYTES + len(payload)
        damaged = position.damaged_bytes + unreadable
        yield item, position._replace(damaged_bytes=damaged, dropped=position.dropped + dropped)


def read_latest_items(path: Path, end_bytes: int) -> list[Tick | Event]:
    """Return the items in the last bytes of a spool.  Raises OSError."""
    with path.open("rb") as file:
        # The frame in which the end begins counts as damage.
        offset = max(file.seek(0, os.SEEK_END) - end_bytes, 0)
        items = read_items(file, unknown_header(path.name), SpoolPosition(offset))
        return [item for item, _ in items if item is not None]


def read_spool(path: Path) -> NodeRecord:
    """Return the record in one spool.  Raises SpoolError if it is not a spool, or has a newer format."""
    tick_count, events, damaged = 0, list[Event](), 0
    with open_spool(path) as (file, header):
        for payload, position in _read_payloads(file, SpoolPosition()):
            damaged = position.damaged_bytes
            if payload is None or is_header(payload):
                continue
            if is_tick(payload):
                tick_count += 1
                continue
            try:
                item = _decode(payload, header)
            except SpoolError:
                continue
            if isinstance(item, Event):
                events.append(item)
    return NodeRecord(path, header, tick_count, tuple(events), damaged)


def read_node_records(folder: Path) -> Iterator[NodeRecord]:
    """Yield the record of every node of the run in `folder`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield read_spool(path)


def _read_payloads(file: BinaryIO, start: SpoolPosition) -> Iterator[tuple[bytes | None, SpoolPosition]]:
    """Yield the payload of each whole frame from a position on, None of a copy, and the position after it."""
    _, frames, damaged, sequence, *others = start
    for piece in read_frames(file, start.offset):
        if isinstance(piece, Damage):
            damaged += piece.end - piece.start
            continue
        frames += 1
        payload: bytes | None = piece.payload
        if piece.sequence <= sequence:
            damaged, payload = damaged + FRAME_BYTES + len(piece.payload), None
        else:
            sequence = piece.sequence
        yield payload, SpoolPosition(piece.end, frames, damaged, sequence, *others)


def _decode(payload: bytes, header: SpoolHeader) -> Tick | Event:
    item = decode(payload, header.columns)
    if not header.may_say(item.time_s):
        raise SpoolError(f"its time is {item.time_s!r}")
    return item


def _leave_out_impossible(
    item: Tick | Event, header: SpoolHeader, most: dict[int, tuple[float, ...]]
) -> tuple[Tick | Event, int]:
    """Return an item without the values that cannot be, and their number; `most` keeps the limits of each GPU."""
    if isinstance(item, Event):
        return item, 0
    readings, total = [], 0
    for reading in item.readings:
        if reading.gpu not in most:
            gpu = header.gpu(reading.gpu)
            most[reading.gpu] = largest_values(gpu.memory_bytes, gpu.power_limit_w)
        sound, number = leave_out_impossible(reading, most[reading.gpu])
        readings.append(sound)
        total += number
    return (Tick(item.time_s, tuple(readings)), total) if total else (item, 0)


def _find_header(path: Path, file: BinaryIO) -> SpoolHeader:
    """Return the first header that can be read.  Raises SpoolError where there is neither one nor an item."""
    has_frames = has_items = False
    for piece in read_frames(file, most_bytes=_HEADER_BYTES):
        if isinstance(piece, Frame):
            has_frames = True
            if is_header(piece.payload) and (header := parse_header(piece.payload, path.name)):
                return header
            has_items |= is_item(piece.payload)
    file.seek(0)
    begin = file.read(len(MAGIC))
    if has_items or (not has_frames and MAGIC.startswith(begin)):  # begun, and killed
        return unknown_header(path.name)
    raise SpoolError(f"{path}: is no spool: it has neither a header nor a reading that can be read")
