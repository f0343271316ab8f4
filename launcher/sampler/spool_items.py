"""The content of a spool's frames after the header: ticks of readings, and events.

All numbers are little-endian.  A tick is  u8 1, f64 Unix time, u8 number of readings,  then for each reading

    u8 gpu, u32 mask, the metrics whose bit is set in the order of `METRICS`, u8 n, n x (u16 ms, u8 %)

The milliseconds of a ring sample are those before the newest of its reading.  An event is  u8 2  and JSON.  A metric
that could not be read has no bit and takes no byte.  A new metric comes last, so that older spools stay readable.
"""

import json
import struct
from functools import cache
from typing import NamedTuple

from ...errors import SpoolError
from ...estimator.gpu_use.reading import METRICS, Event, GpuReading, Tick

_TICK, _EVENT = 1, 2
_LARGEST = {"B": 2**8 - 1, "H": 2**16 - 1, "I": 2**32 - 1, "Q": 2**64 - 1}
_HEAD = struct.Struct("<BdB")
_READING = struct.Struct("<BI")
_RING = struct.Struct("<HB")
_MAX_RING = 255  # samples per reading


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


def decode(payload: bytes) -> Tick | Event:
    """Return the tick or event in a frame.  Raises SpoolError for damage, and for content of a newer clusterplan.

    >>> decode(encode(Event(12.5, "gap", "3 ticks late")))
    Event(time_s=12.5, kind='gap', text='3 ticks late', gpu=None)
    """
    try:
        if payload[0] == _EVENT:
            return Event(**json.loads(payload[1:]))
        if payload[0] == _TICK:
            return _decode_tick(payload)
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise SpoolError(f"the content of a frame cannot be read: {error}") from None
    raise SpoolError(f"a frame of kind {payload[0]} is from a newer clusterplan: upgrade it")


def _decode_tick(payload: bytes) -> Tick:
    _, time_s, count = _HEAD.unpack_from(payload)
    position, readings = _HEAD.size, []
    for _ in range(count):
        gpu, mask = _READING.unpack_from(payload, position)
        position += _READING.size
        names, packing, parts = _masked(mask)
        values = dict(zip(names, packing.unpack_from(payload, position), strict=True))
        position += packing.size
        values |= {name: values[name] / of for name, of in parts}
        end = position + 1 + payload[position] * _RING.size
        ring = tuple((ms / 1000, percent) for ms, percent in _RING.iter_unpack(payload[position + 1 : end]))
        position = end
        readings.append(GpuReading(gpu, **values, ring=ring))
    return Tick(time_s, tuple(readings))


@cache
def _masked(mask: int) -> tuple[tuple[str, ...], struct.Struct, tuple[tuple[str, int], ...]]:
    """Return the names of the metrics in a mask, their packing, and the parts of those that are kept in parts."""
    if mask >> len(METRICS):
        raise SpoolError("a reading has metrics of a newer clusterplan: upgrade it")
    metrics = {name: metric for bit, (name, metric) in enumerate(METRICS.items()) if mask >> bit & 1}
    packing = struct.Struct("<" + "".join(metric.code for metric in metrics.values()))
    return tuple(metrics), packing, tuple((n, m.parts) for n, m in metrics.items() if m.parts > 1)
