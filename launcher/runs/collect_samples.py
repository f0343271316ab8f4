"""Fold the spools of a run folder into the history, lot after lot.

Rows and the position up to which they were read are committed together, so nothing is read twice or lost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import SpoolError
from ...estimator.gpu_use.reading import Event, GpuReading, Tick
from ...estimator.history.runs import History
from ...estimator.measurements.clock_steps import ClockSteps
from ..sampler.spool import Damage, open_spool, read_frames
from ..sampler.spool_items import decode

_LOT = 2_400  # frames held at a time: four blocks of the history at one a second
_NODE_FACTS = ("driver", "attribution", "period_s")
_GPU_FACTS = ("uuid", "index", "name", "memory_bytes", "power_limit_w", "compute_capability", "mig_parent")


@dataclass
class _Lot:
    """The next frames of a spool, by the UUID of their GPU, and the position after them."""

    offset: int
    frames: int
    damaged_bytes: int
    readings: dict[str, list[tuple[float, GpuReading]]] = field(default_factory=dict)
    events: list[tuple[Event, str | None]] = field(default_factory=list)

    def add(self, item: Tick | Event, uuids: list[str]) -> None:
        if isinstance(item, Event):
            self.events.append((item, None if item.gpu is None else uuids[item.gpu]))
            return
        for reading in item.readings:
            self.readings.setdefault(uuids[reading.gpu], []).append((item.time_s, reading))


def collect_samples(folder: Path, spools: Iterable[str], history: History) -> tuple[bool, list[SpoolError]]:
    """Fold the new frames of a run's spools into the history.

    Returns whether there were any, and why spools could not be read.
    """
    sampled, faults = False, []
    for spool in sorted(spools):
        try:
            sampled |= _collect_spool(folder.name, folder / spool, history)
        except SpoolError as error:
            faults.append(error)
    return sampled, faults


def _collect_spool(run: str, path: Path, history: History) -> bool:
    sampled = False
    with open_spool(path) as (file, header):
        while _collect_lot(run, path.name, file, header, history):
            history.flush()
            sampled = True
    return sampled


def _collect_lot(run: str, spool: str, file: BinaryIO, header: Mapping[str, Any], history: History) -> bool:
    node = header["node"]
    with history.writing():
        position = history.spool_position(run, spool)
        lot = _read_lot(file, header, spool, _Lot(*position))
        if lot.frames == position[1]:
            return False
        gpus = [{key: gpu.get(key) for key in _GPU_FACTS} for gpu in header["gpus"]]
        history.put_node(run, node, {key: header.get(key) for key in _NODE_FACTS}, gpus)
        for uuid, rows in lot.readings.items():
            history.put_readings(run, spool, uuid, rows)
        history.put_events(run, node, lot.events)
        history.put_spool(run, spool, node, lot.offset, lot.frames, lot.damaged_bytes)
    return True


def _read_lot(file: BinaryIO, header: Mapping[str, Any], spool: str, lot: _Lot) -> _Lot:
    """Read the frames after the position of an empty lot into it."""
    uuids = [gpu["uuid"] for gpu in header["gpus"]]
    last, steps = lot.frames + _LOT, _steps_before(file, header, lot.offset)
    if not lot.frames and isinstance(header.get("time_s"), int | float):
        lot.events.append((Event(header["time_s"], "start", f"sampling began: {spool}"), None))
    for piece in read_frames(file, lot.offset):
        if isinstance(piece, Damage):
            lot.damaged_bytes += piece.end - piece.start
            continue
        lot.offset, lot.frames = piece.end, lot.frames + 1
        if piece.sequence:  # the header is frame 0
            item = decode(piece.payload)
            lot.add(_without_steps(item, steps) if steps else item, uuids)
        if lot.frames == last:
            break
    return lot


def _steps_before(file: BinaryIO, header: Mapping[str, Any], offset: int) -> ClockSteps | None:
    """Return the steps of the node's clock in a spool of an earlier version, up to a byte; None if it has none in it."""
    if header.get("steady"):
        return None
    steps = ClockSteps(header.get("period_s") or 1.0)
    for piece in read_frames(file) if offset else ():
        if piece.end > offset:
            break
        if not isinstance(piece, Damage) and piece.sequence:
            _without_steps(decode(piece.payload), steps)
    return steps


def _without_steps(item: Tick | Event, steps: ClockSteps) -> Tick | Event:
    text = item.text if isinstance(item, Event) else ""
    return replace(item, time_s=steps.without(item.time_s, text))
