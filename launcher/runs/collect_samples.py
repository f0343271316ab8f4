"""Fold the spools of a run folder into the history, lot after lot.

Rows and the position up to which they were read are committed together, so nothing is read twice or lost.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from ...errors import SpoolError
from ...estimator.gpu_use.reading import Event, GpuReading, SpoolPosition, Tick
from ...estimator.history.runs import History
from ...estimator.measurements.clock_steps import ClockSteps
from ..run_folder.folder import file_exists
from ..sampler.spool_header import SpoolHeader
from ..sampler.spool_reader import open_spool, read_items

_LOT, _LOT_BYTES = (
    2_400,
    4 << 20,
)  # held at a time: four blocks of the history at one a second, and at most these bytes


@dataclass
class _Lot:
    """The next items of a spool, by the place of their GPU, and the position after them."""

    position: SpoolPosition
    readings: dict[int, list[tuple[float, GpuReading]]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def add(self, item: Tick | Event | None) -> None:
        if isinstance(item, Event):
            self.events.append(item)
        elif item is not None:
            for reading in item.readings:
                self.readings.setdefault(reading.gpu, []).append((item.time_s, reading))


def collect_samples(
    folder: Path, spools: Iterable[str], history: History, *, has_ended: bool
) -> tuple[bool, list[SpoolError]]:
    """Fold the new frames of a run's spools into the history.

    Returns whether there were any, and why spools could not be read.  While the run goes on, a spool without a header
    that can be read is left for later: a copy of it may come.
    """
    sampled, faults = False, []
    for spool in sorted(spools):
        try:
            with open_spool(folder / spool) as (file, header):
                if header.file and header.file != spool and file_exists(folder / header.file):
                    _pass_over(folder.name, file, header, history)  # a copy of that file
                elif header.is_known or has_ended:
                    sampled |= _collect_spool(folder.name, file, header, history)
        except SpoolError as error:
            faults.append(error)
    return sampled, faults


def _collect_spool(run: str, file: BinaryIO, header: SpoolHeader, history: History) -> bool:
    sampled, steps, size = False, None, os.fstat(file.fileno()).st_size
    while True:
        with history.writing():
            position = history.spool_position(run, header.spool)
            steps = _steps_up_to(file, header, position, steps)
            lot = _read_lot(file, header, position, steps)
            if lot.position.frames == position.frames:
                if position.seen_bytes != size:
                    history.put_spool(run, header.spool, header.node, position._replace(seen_bytes=size))
                return sampled
            _put_lot(run, header, lot, history)
        history.flush()
        sampled = True


def _pass_over(run: str, file: BinaryIO, header: SpoolHeader, history: History) -> None:
    """Put that all of a spool was looked at, and that it is damage."""
    size = os.fstat(file.fileno()).st_size
    if history.spool_position(run, header.spool).seen_bytes != size:
        position = SpoolPosition(size, damaged_bytes=size, seen_bytes=size)
        with history.writing():
            history.put_spool(run, header.spool, header.node, position)


def _put_lot(run: str, header: SpoolHeader, lot: _Lot, history: History) -> None:
    places = {*lot.readings, *(event.gpu for event in lot.events if event.gpu is not None)}
    gpus = [header.gpu_facts(place) for place in sorted({*range(len(header.gpus)), *places})]
    facts = {"driver": header.driver, "attribution": header.attribution, "period_s": header.period_s}
    history.put_node(run, header.node, facts if header.is_known else {}, gpus)
    for place, rows in lot.readings.items():
        history.put_readings(run, header.spool, header.gpu(place).uuid, rows)
    events = [(event, None if event.gpu is None else header.gpu(event.gpu).uuid) for event in lot.events]
    history.put_events(run, header.node, events)
    history.put_spool(run, header.spool, header.node, lot.position)


def _read_lot(file: BinaryIO, header: SpoolHeader, start: SpoolPosition, steps: "_Steps | None") -> _Lot:
    """Read the items after a position."""
    lot = _Lot(start)
    if not start.frames and header.time_s is not None:
        lot.events.append(Event(header.time_s, "start", f"sampling began: {header.spool}"))
    for item, position in read_items(file, header, start):
        lot.position = position
        lot.add(steps.take_out(item, position.offset) if steps else item)
        if position.frames == start.frames + _LOT or position.offset - start.offset >= _LOT_BYTES:
            break
    return lot


@dataclass
class _Steps:
    """The steps of the node's clock in a spool of an earlier version, up to a byte of it."""

    clock: ClockSteps
    offset: int = 0

    def take_out(self, item: Tick | Event | None, offset: int) -> Tick | Event | None:
        self.offset = offset
        if item is None:
            return None
        text = item.text if isinstance(item, Event) else ""
        return replace(item, time_s=self.clock.without(item.time_s, text))


def _steps_up_to(
    file: BinaryIO, header: SpoolHeader, position: SpoolPosition, before: _Steps | None
) -> _Steps | None:
    """Return the steps up to a position; None if the times of the spool have none in them."""
    if header.steady:
        return None
    if before and before.offset == position.offset:
        return before
    steps = _Steps(ClockSteps(header.period_s or 1.0))
    for item, then in read_items(file, header) if position.offset else ():
        if then.offset > position.offset:
            break
        steps.take_out(item, then.offset)
    return steps
