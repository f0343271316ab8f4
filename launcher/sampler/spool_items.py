"""The content of a spool's frames after the header: ticks of readings, and events.

All numbers are little-endian.  A tick is  u8 1, f64 Unix time, u8 number of readings,  then for each reading

    u8 gpu, u32 mask, the metrics whose bit is set in the order of `METRICS`, u8 n, n x (u16 ms, u8 %)

The milliseconds of a ring sample are those before the newest of its reading.  An event is  u8 2  and JSON.  A metric
that could not be read has no bit and takes no byte.  A new metric comes last, so that older spools stay readable; the
header names the metrics, so that a reader can skip those that it does not know.
"""

import json
import math
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ...errors import SpoolError
from ...estimator.gpu_use.reading import LATEST_S, METRICS, Event, GpuReading, Tick

_TICK, _EVENT = 1, 2
_LONGEST_TEXT, _LONGEST_KIND = 1000, 40  # characters of an event that are kept
_LARGEST = {"B": 2**8 - 1, "H": 2**16 - 1, "I": 2**32 - 1, "Q": 2**64 - 1}
_HEAD = struct.Struct("<BdB")
_READING = struct.Struct("<BI")
_RING = struct.Struct("<HB")
_MAX_RING = 255  # samples per reading


@dataclass(frozen=True, eq=False)
class Columns:
    """The metrics of a spool, in the order of the bits of a mask: name, struct code and parts of a unit."""

    metrics: tuple[tuple[str, str, int], ...]


OWN_COLUMNS = Columns(tuple((name, metric.code, metric.parts) for name, metric in METRICS.items()))


class _Layout(NamedTuple):
    """The packing of readings that have the same metrics, and the same number of ring samples."""

    packing: struct.Struct
    codes: str
    mask: int
    parts: tuple[
        tuple[int, int], ...
    ]  # (place among the values, parts) of metrics that are kept in parts of a unit


def encode(item: Tick | Event) -> bytes:
    """Return the payload of a frame."""
    if isinstance(item, Event):
        keys = {"time_s": item.time_s, "kind": item.kind, "text": item.text, "gpu": item.gpu}
        return bytes((_EVENT,)) + json.dumps(keys).encode()
    return _HEAD.pack(_TICK, item.time_s, len(item.readings)) + b"".join(map(_encode_reading, item.readings))


def _encode_reading(reading: GpuReading) -> bytes:
    metrics = reading[1:-1]  # without gpu and ring
    ring = reading.ring[-_MAX_RING:]
    layout = _layout(tuple([value is not None for value in metrics]), len(ring))
    values = [value for value in metrics if value is not None]
    for place, parts in layout.parts:
        values[place] = round(values[place] * parts)
    samples = [number for before_s, percent in ring for number in (round(before_s * 1000), percent)]
    numbers = (reading.gpu, layout.mask, *values, len(ring), *samples)
    try:
        return layout.packing.pack(*numbers)
    except struct.error:  # a number is out of the range of its code
        clipped = (
            min(max(number, 0), _LARGEST[code]) for number, code in zip(numbers, layout.codes, strict=True)
        )
        return layout.packing.pack(*clipped)


@cache
def _layout(present: tuple[bool, ...], ring_samples: int) -> _Layout:
    metrics = [metric for metric, is_present in zip(METRICS.values(), present, strict=True) if is_present]
    codes = "BI" + "".join(metric.code for metric in metrics) + "B" + "HB" * ring_samples
    mask = sum(1 << bit for bit, is_present in enumerate(present) if is_present)
    parts = tuple((place, metric.parts) for place, metric in enumerate(metrics) if metric.parts > 1)
    return _Layout(struct.Struct("<" + codes), codes, mask, parts)


def is_tick(payload: bytes) -> bool:
    """Return whether a frame holds a tick, at a hundredth of the cost of decoding it."""
    return payload[:1] == bytes((_TICK,))


def is_item(payload: bytes) -> bool:
    """Return whether a frame may hold a tick or an event."""
    return payload[:1] in (bytes((_TICK,)), bytes((_EVENT,)))


def decode(payload: bytes, columns: Columns = OWN_COLUMNS) -> Tick | Event:
    """Return the tick or event in a frame, of a spool whose header names these metrics.

    Raises SpoolError for damage, and for content of a newer clusterplan.

    >>> decode(encode(Event(12.5, "gap", "3 ticks late")))
    Event(time_s=12.5, kind='gap', text='3 ticks late', gpu=None)
    """
    try:
        if payload[0] == _EVENT:
            return _decode_event(json.loads(payload[1:]))
        if payload[0] == _TICK:
            return _decode_tick(payload, columns)
    except (struct.error, IndexError, ValueError, RecursionError) as error:
        raise SpoolError(f"the content of a frame cannot be read: {error}") from None
    raise SpoolError(f"a frame of kind {payload[0]} is from a newer clusterplan: upgrade it")


def is_time(value: object) -> bool:
    """Return whether a value is a Unix time that a reading may have."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= LATEST_S  # type: ignore[operator]  # NaN is no time


def _decode_event(values: Any) -> Event:
    if not isinstance(values, dict):
        raise ValueError("an event is no object")  # noqa: TRY004  as other faults of a frame
    time_s, kind, text, gpu = (values.get(key) for key in ("time_s", "kind", "text", "gpu"))
    if not is_time(time_s) or not isinstance(kind, str) or not isinstance(text, str):
        raise ValueError("an event has no time, no kind or no text")
    place = gpu if isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0 else None
    return Event(float(time_s), kind[:_LONGEST_KIND], text[:_LONGEST_TEXT], place)  # type: ignore[arg-type]  # is_time


def _decode_tick(payload: bytes, columns: Columns) -> Tick:
    _, time_s, count = _HEAD.unpack_from(payload)
    if not math.isfinite(time_s) or not is_time(time_s):
        raise ValueError(f"its time is {time_s!r}")
    position, readings = _HEAD.size, []
    for _ in range(count):
        gpu, mask = _READING.unpack_from(payload, position)
        position += _READING.size
        names, packing, parts, unknown = _masked(mask, columns)
        values = dict(zip(names, packing.unpack_from(payload, position), strict=True))
        position += packing.size
        values |= {name: values[name] / of for name, of in parts}
        for name in unknown:
            del values[name]
        end = position + 1 + payload[position] * _RING.size
        ring = tuple((ms / 1000, percent) for ms, percent in _RING.iter_unpack(payload[position + 1 : end]))
        position = end
        readings.append(GpuReading(gpu, **values, ring=ring))
    return Tick(time_s, tuple(readings))


class _Masked(NamedTuple):
    """The metrics of a mask: names, packing, the parts of those kept in parts, and the names that nobody knows here."""

    names: tuple[str, ...]
    packing: struct.Struct
    parts: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...]


@lru_cache(maxsize=1024)  # of a damaged spool each mask may be another
def _masked(mask: int, columns: Columns) -> _Masked:
    if mask >> len(columns.metrics):
        raise SpoolError("a reading has metrics of a newer clusterplan: upgrade it")
    metrics = [column for bit, column in enumerate(columns.metrics) if mask >> bit & 1]
    return _Masked(
        tuple(name for name, _, _ in metrics),
        struct.Struct("<" + "".join(code for _, code, _ in metrics)),
        tuple((name, parts) for name, _, parts in metrics if parts > 1),
        tuple(name for name, _, _ in metrics if name not in METRICS),
    )
