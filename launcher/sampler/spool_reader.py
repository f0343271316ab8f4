"""The record that the sampler of one node wrote: a spool, of any length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...estimator.gpu_use.reading import Event, Tick
from .spool import SUFFIX, Damage, Frame, open_spool, read_frames
from .spool_items import decode, is_tick


@dataclass(frozen=True)
class NodeRecord:
    """The header of a spool, its events in order, the number of its ticks, and of its damaged bytes."""

    path: Path
    header: dict[str, Any]
    tick_count: int
    events: tuple[Event, ...]
    damaged_bytes: int

    def ticks(self) -> Iterator[Tick]:
        """Yield the ticks in order, read anew: weeks of them do not fit in memory.  Raises SpoolError."""
        with open_spool(self.path) as (file, _):
            for piece in read_frames(file):
                if isinstance(piece, Frame) and piece.sequence:
                    item = decode(piece.payload)
                    if isinstance(item, Tick):
                        yield item


def read_spool(path: Path) -> NodeRecord:
    """Return the record in one spool.  Raises SpoolError if it is not a spool, or has a newer format."""
    tick_count, events, damaged = 0, list[Event](), 0
    with open_spool(path) as (file, header):
        for piece in read_frames(file):
            if isinstance(piece, Damage):
                damaged += piece.end - piece.start
            elif is_tick(piece.payload):
                tick_count += 1
            elif piece.sequence:
                item = decode(piece.payload)
                if isinstance(item, Event):
                    events.append(item)
    return NodeRecord(path, header, tick_count, tuple(events), damaged)


def read_node_records(folder: Path) -> Iterator[NodeRecord]:
    """Yield the record of every node of the run in `folder`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield read_spool(path)
