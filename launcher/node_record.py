"""What one node's sampler wrote: the content of a spool, read back whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SpoolError
from ..estimator.gpu_reading import Event, Tick
from .spool import SUFFIX, Damage, Frame, read_frames, read_header
from .tick import decode


@dataclass(frozen=True)
class NodeRecord:
    """A spool's header, ticks and events in order, and how many bytes in it were damaged."""

    path: Path
    header: dict[str, Any]
    ticks: tuple[Tick, ...]
    events: tuple[Event, ...]
    damaged_bytes: int


def read_spool(path: Path) -> NodeRecord:
    """The record in one spool.  Raises SpoolError if it is none, or of a newer version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpoolError(f"{path}: cannot be read: {error.strerror}") from None
    pieces = list(read_frames(data))
    frames = [piece for piece in pieces if isinstance(piece, Frame)]
    first = next((piece for piece in frames if piece.sequence == 0), None)
    if first is None:
        raise SpoolError(f"{path}: has no header that can be read")
    header = read_header(path, first.payload)
    items = [decode(piece.payload) for piece in frames if piece is not first]
    return NodeRecord(
        path=path,
        header=header,
        ticks=tuple(item for item in items if isinstance(item, Tick)),
        events=tuple(item for item in items if isinstance(item, Event)),
        damaged_bytes=sum(piece.end - piece.start for piece in pieces if isinstance(piece, Damage)),
    )


def node_records(folder: Path) -> Iterator[NodeRecord]:
    """The record of every node of the run in `folder`."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield read_spool(path)
