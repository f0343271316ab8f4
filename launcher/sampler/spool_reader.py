"""What one node's sampler wrote, from its spool, of any length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...estimator.gpu_use.reading import Event, Tick
from .spool import SUFFIX, Damage, Frame, open_spool, read_frames
from .spool_items import decode, is_tick


@dataclass(frozen=True)
class NodeRecord:
    """A spool's header, its events in order, how many ticks it has, and how many bytes in it were damaged."""

    path: Path
    header: dict[str, Any]
    samples: int
    events: tuple[Event, ...]
    damaged_bytes: int

    def ticks(self) -> Iterator[Tick]:
        """The ticks in order, read anew: those of weeks would not fit in memory.  Raises SpoolError."""
        with open_spool(self.path) as (file, _):
            for piece in read_frames(file):
                if isinstance(piece, Frame) and piece.sequence:
                    item = decode(piece.payload)
                    if isinstance(item, Tick):
                        yield item


def read_spool(path: Path) -> NodeRecord:
    """The record in one spool.  Raises SpoolError if it is none, or of a newer version."""
    samples, events, damaged = 0, list[Event](), 0
    with open_spool(path) as (file, header):
        for piece in read_frames(file):
            if isinstance(piece, Damage):
                damaged += piece.end - piece.start
            elif is_tick(piece.payload):
                samples += 1
            elif piece.sequence:
                item = decode(piece.payload)
                if isinstance(item, Event):
                    events.append(item)
    return NodeRecord(path, header, samples, tuple(events), damaged)


def node_records(folder: Path) -> Iterator[NodeRecord]:
    """The record of every node of the run in `folder`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield read_spool(path)
