"""What a spool's frames hold after the header: ticks of readings, and events.

Little-endian.  A tick is  u8 1, f64 Unix time, u8 readings,  then for each of them

    u8 gpu, u32 mask, the fields whose bit is set in the order of `FIELDS`, u8 n, n x (u16 ms, u8 %)

The milliseconds of a ring sample are those before the newest of its reading.  An event is  u8 2  and JSON.  A field that could not be read has no bit and takes no byte.
"""

import json
import struct
from functools import cache
from typing import NamedTuple

from ...errors import SpoolError
from ...estimator.gpu_use.reading import SHARE_SCALE, SHARES, Event, GpuReading, Tick

_TICK, _EVENT = 1, 2

# Name in GpuReading, in its order, and struct code.  New fields go to the end, and old spools stay readable.
FIELDS = (
    ("utilisation_percent", "B"),
    ("memory_utilisation_percent", "B"),
    ("memory_used_bytes", "Q"),
    ("power_mw", "I"),
    ("temperature_c", "H"),
    ("sm_clock_mhz", "H"),
    ("memory_clock_mhz", "H"),
    ("clock_reasons", "Q"),
    ("energy_mj", "Q"),
    ("pcie_tx_bytes", "Q"),
    ("pcie_rx_bytes", "Q"),
    ("nvlink_tx_kib", "Q"),
    ("nvlink_rx_kib", "Q"),
    ("sm_active", "H"),
    ("occupancy", "H"),
    ("tensor_active", "H"),
    ("dram_active", "H"),
    ("processes", "H"),
)
_LARGEST = {"B": 2**8 - 1, "H": 2**16 - 1, "I": 2**32 - 1, "Q": 2**64 - 1}
_HEAD = struct.Struct("<BdB")
_READING = struct.Struct("<BI")
_RING = struct.Struct("<HB")
_MOST_RING = 255  # samples of a reading


class _Layout(NamedTuple):
    """How a reading is packed that has certain values, and a certain number of ring samples."""

    packing: struct.Struct
    codes: str
    mask: int
    shares: slice  # among the values that there are


def encode(item: Tick | Event) -> bytes:
    """The payload of one frame."""
    if isinstance(item, Event):
        known = {"time_s": item.time_s, "kind": item.kind, "text": item.text, "gpu": item.gpu}
        return bytes((_EVENT,)) + json.dumps(known).encode()
    return _HEAD.pack(_TICK, item.time_s, len(item.readings)) + b"".join(map(_encoded, item.readings))


def _encoded(reading: GpuReading) -> bytes:
    values = reading[1:-1]  # those of FIELDS
    ring = reading.ring[-_MOST_RING:]
    layout = _layout(tuple([value is not None for value in values]), len(ring))
    known = [value for value in values if value is not None]
    known[layout.shares] = [round(share * SHARE_SCALE) for share in known[layout.shares]]
    samples = [number for before, percent in ring for number in (round(before * 1000), percent)]
    numbers = (reading.gpu, layout.mask, *known, len(ring), *samples)
    try:
        return layout.packing.pack(*numbers)
    except struct.error:  # one is out of the range of its field
        ranged = (
            min(max(number, 0), _LARGEST[code]) for number, code in zip(numbers, layout.codes, strict=True)
        )
        return layout.packing.pack(*ranged)


@cache
def _layout(present: tuple[bool, ...], samples: int) -> _Layout:
    there = [field for field, has in zip(FIELDS, present, strict=True) if has]
    shares = [name in SHARES for name, _ in there]
    first = shares.index(True) if any(shares) else 0
    codes = "BI" + "".join(code for _, code in there) + "B" + "HB" * samples
    mask = sum(1 << bit for bit, has in enumerate(present) if has)
    return _Layout(struct.Struct("<" + codes), codes, mask, slice(first, first + sum(shares)))


def is_tick(payload: bytes) -> bool:
    """Whether a frame holds a tick, at a hundredth of what decoding it costs."""
    return payload[:1] == bytes((_TICK,))


def decode(payload: bytes) -> Tick | Event:
    """The tick or event of one frame.  Raises SpoolError for a kind of a newer clusterplan.

    >>> decode(encode(Event(12.5, "gap", "3 ticks late")))
    Event(time_s=12.5, kind='gap', text='3 ticks late', gpu=None)
    """
    try:
        if payload[0] == _EVENT:
            return Event(**json.loads(payload[1:]))
        if payload[0] == _TICK:
            return _decoded_tick(payload)
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise SpoolError(f"a frame's content cannot be read: {error}") from None
    raise SpoolError(f"a frame of kind {payload[0]} is from a newer clusterplan: upgrade it")


def _decoded_tick(payload: bytes) -> Tick:
    _, time_s, count = _HEAD.unpack_from(payload)
    position, readings = _HEAD.size, []
    for _ in range(count):
        gpu, mask = _READING.unpack_from(payload, position)
        position += _READING.size
        fields = _fields(mask)
        names = [name for bit, (name, _) in enumerate(FIELDS) if mask >> bit & 1]
        values = dict(zip(names, fields.unpack_from(payload, position), strict=True))
        position += fields.size
        values |= {name: values[name] / SHARE_SCALE for name in SHARES if name in values}
        end = position + 1 + payload[position] * _RING.size
        ring = tuple(
            (before / 1000, percent) for before, percent in _RING.iter_unpack(payload[position + 1 : end])
        )
        position = end
        readings.append(GpuReading(gpu, **values, ring=ring))
    return Tick(time_s, tuple(readings))


@cache
def _fields(mask: int) -> struct.Struct:
    if mask >> len(FIELDS):
        raise SpoolError("a reading has fields of a newer clusterplan: upgrade it")
    return struct.Struct("<" + "".join(code for bit, (_, code) in enumerate(FIELDS) if mask >> bit & 1))
