"""Ten minutes of one GPU's readings in a few bytes each: columns of differences, compressed.

A block is zlib over a head and columns.  The head has the number of readings (u32), `NAMED` (u32), the length of a text
(u16) and the text: the names of the block's metrics, each with a slash and its parts of a unit, separated by spaces.
The columns are the times in milliseconds, the metrics in the order of their names, and the ring, which takes three:
samples per reading, their milliseconds, their per cent.  A name that this clusterplan does not know is skipped, and a
metric that a block does not name was not read.  The head of the first blocks had the number of metrics in place of
`NAMED`, and no names: they are the first ones of `FIRST_METRICS`.

A column is one byte per reading that says whether it has a value (1) or not (0), then the differences between the
values.  A difference d, modulo 2^64, is kept as 2d, or as -2d - 1 if it is negative: first the lowest byte of all of
them, then the next: the higher bytes are nearly all 0 and take no room.  Presence and lowest bytes, the next bytes,
and the rest are a deflate block each, with a code of its own, because their bytes are distributed quite differently.

Whatever a damaged or hostile block says, at most `_LARGEST_BYTES` are unpacked.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise
from typing import NamedTuple

from ...errors import DamagedBlock
from ..gpu_use.reading import LATEST_S, METRICS, GpuReading

MOST_TICKS = 30_000  # in a block: 50 per second, where the shortest period is 1/20 s
NAMED = 0xFFFFFFFF
FIRST_METRICS = (
    *("utilisation_percent/1", "memory_utilisation_percent/1", "memory_used_bytes/1", "power_mw/1"),
    *("temperature_c/1", "sm_clock_mhz/1", "memory_clock_mhz/1", "clock_reasons/1", "energy_mj/1"),
    *("pcie_tx_bytes/1", "pcie_rx_bytes/1", "nvlink_tx_kib/1", "nvlink_rx_kib/1", "sm_active/1000"),
    *("occupancy/1000", "tensor_active/1000", "dram_active/1000", "processes/1"),
)

_HEAD = struct.Struct("<II")
_TEXT = struct.Struct("<H")
_WORD = 8  # bytes
_MODULUS = 1 << 64
_MOST_METRICS = 256
_MOST_SAMPLES = 400_000  # of the driver, in a block; 50 per second and GPU are 30,000
_LARGEST_BYTES = 16 << 20

_Column = list[int | None]


class _RawColumn(NamedTuple):
    """A column as it is kept: a byte per reading, and the planes of the differences."""

    present: bytes
    planes: bytes


class _Block(NamedTuple):
    """A block that is whole: its columns are as long as they should be."""

    times: _Column
    metrics: dict[str, tuple[_RawColumn, int]]  # by name, with the parts of a unit
    lengths: _Column
    before_ms: _RawColumn
    percents: _RawColumn


def pack(rows: Sequence[tuple[float, GpuReading]]) -> bytes:
    """Return a block of readings with their Unix times, in ascending order of time, at most `MOST_TICKS`.

    Samples of the driver beyond `_MOST_SAMPLES` are left out.
    """
    rings, samples = list[tuple[tuple[float, int], ...]](), 0
    for _, reading in rows:
        samples += len(reading.ring)
        rings.append(reading.ring if samples <= _MOST_SAMPLES else ())
    metrics = {
        f"{name}/{metric.parts}": _whole_numbers(
            (getattr(reading, name) for _, reading in rows), metric.parts
        )
        for name, metric in METRICS.items()
    }
    metrics = {name: column for name, column in metrics.items() if any(value is not None for value in column)}
    columns: list[Sequence[int | None]] = [
        [round(time_s * 1000) for time_s, _ in rows],
        *metrics.values(),
        [len(ring) for ring in rings],
        [round(before_s * 1000) for before_s, _ in chain.from_iterable(rings)],
        [percent for _, percent in chain.from_iterable(rings)],
    ]
    names = " ".join(metrics).encode()
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    parts = [deflate.compress(_HEAD.pack(len(rows), NAMED) + _TEXT.pack(len(names)) + names)]
    for part in chain.from_iterable(map(_encode_column, columns)):
        parts += deflate.compress(part), deflate.flush(zlib.Z_BLOCK)
    return b"".join((*parts, deflate.flush()))


def unpack(packed: object, ticks: object = None) -> list[tuple[float, GpuReading]]:
    """Return the readings of a block with their Unix times.

    Raises DamagedBlock, also for another number of readings than `ticks`.

    >>> unpack(pack([(1.5, GpuReading(0, power_mw=90, ring=((0.1, 7),)))]))[0][1].power_mw
    90
    """
    block = _split(packed, ticks)
    before_ms, percents = _decode_column(block.before_ms), _decode_column(block.percents)
    ring = iter([((ms or 0) / 1000, percent or 0) for ms, percent in zip(before_ms, percents, strict=True)])
    values = list[Sequence[float | None]]()
    for name in METRICS:
        if name in block.metrics:
            raw, parts = block.metrics[name]
            values.append(_in_units(_decode_column(raw), parts))
        else:
            values.append([None] * len(block.times))
    return [
        ((time_ms or 0) / 1000, GpuReading._make((0, *row, tuple(islice(ring, length)))))
        for time_ms, length, *row in zip(block.times, block.lengths, *values, strict=True)
    ]


def check_block(packed: object, ticks: object = None) -> None:
    """Raise DamagedBlock if `unpack` would, at a fraction of its cost."""
    _split(packed, ticks)


def _split(packed: object, ticks: object) -> _Block:
    """Return the columns of a block.  Raises DamagedBlock."""
    if not isinstance(packed, bytes):
        raise DamagedBlock("it is no block of bytes")
    data = _inflate(packed)
    try:
        readings, number = _HEAD.unpack_from(data)
        names, position = _read_names(data) if number == NAMED else (_first_names(number), _HEAD.size)
    except (struct.error, ValueError):
        raise DamagedBlock("its head cannot be read") from None
    if readings > MOST_TICKS or (ticks is not None and readings != ticks):
        raise DamagedBlock(f"it says {readings:,} readings, which is wrong")
    columns = []
    for _ in range(len(names) + 2):
        raw, position = _raw_column(data, position, readings)
        columns.append(raw)
    times, lengths = _decode_column(columns[0]), _decode_column(columns[-1])
    samples = sum(length or 0 for length in lengths)
    if samples > _MOST_SAMPLES or any((time_ms or 0) > LATEST_S * 1000 for time_ms in times):
        raise DamagedBlock("its times or its samples of utilisation cannot be")
    before_ms, position = _raw_column(data, position, samples)
    percents, position = _raw_column(data, position, samples)
    metrics = {name: (raw, parts) for (name, parts), raw in zip(names, columns[1:-1], strict=True)}
    return _Block(times, metrics, lengths, before_ms, percents)


def _inflate(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(packed, _LARGEST_BYTES)
    except zlib.error as error:
        raise DamagedBlock(str(error).rpartition(": ")[2]) from None
    if not inflate.eof:
        is_larger = len(data) == _LARGEST_BYTES
        raise DamagedBlock("it is larger than ten minutes can be" if is_larger else "its end is missing")
    return data


def _read_names(data: bytes) -> tuple[list[tuple[str, int]], int]:
    """Return the names and parts in a head, and the position after it.  Raises struct.error or ValueError."""
    (length,) = _TEXT.unpack_from(data, _HEAD.size)
    position = _HEAD.size + _TEXT.size
    text = data[position : position + length].decode()
    return [_name_and_parts(word) for word in text.split()], position + length


def _first_names(number: int) -> list[tuple[str, int]]:
    """Return the names of a block that has none; of metrics that nobody knows they are numbers."""
    if number > _MOST_METRICS:
        raise DamagedBlock(f"it says {number:,} metrics")
    unknown = (f"{place}/1" for place in range(len(FIRST_METRICS), number))
    return [_name_and_parts(word) for word in (*FIRST_METRICS[:number], *unknown)]


def _name_and_parts(word: str) -> tuple[str, int]:
    name, _, parts = word.partition("/")
    if int(parts) < 1:
        raise ValueError(word)
    return name, int(parts)


def _whole_numbers(values: Iterable[float | None], parts: int) -> _Column:
    return [None if value is None else round(value * parts) for value in values]


def _in_units(column: _Column, parts: int) -> Sequence[float | None]:
    return column if parts == 1 else [None if value is None else value / parts for value in column]


def _encode_column(values: Sequence[int | None]) -> tuple[bytes, bytes, bytes]:
    present = bytes([value is not None for value in values])
    numbers = [value for value in values if value is not None]
    differences = [(b - a) % _MODULUS for a, b in pairwise([0, *numbers])]
    folded = array(
        "Q", [2 * d if d < _MODULUS // 2 else 2 * (_MODULUS - d) - 1 for d in differences]
    ).tobytes()
    low, middle, *high = (folded[plane::_WORD] for plane in range(_WORD))
    return present + low, middle, b"".join(high)


def _raw_column(data: bytes, position: int, length: int) -> tuple[_RawColumn, int]:
    """Return the column at `position` of the data, and the position after it.  Raises DamagedBlock."""
    present = data[position : position + length]
    begin = position + length
    number = present.count(1)
    end = begin + number * _WORD
    if number + present.count(0) != length or end > len(data):
        raise DamagedBlock("a column of it is too short")
    return _RawColumn(present, data[begin:end]), end


def _decode_column(raw: _RawColumn) -> _Column:
    number = len(raw.planes) // _WORD
    words = bytearray(len(raw.planes))
    for plane in range(_WORD):
        words[plane::_WORD] = raw.planes[plane * number : (plane + 1) * number]
    differences = [word >> 1 if word % 2 == 0 else -(word >> 1) - 1 for word in array("Q", bytes(words))]
    values: Iterator[int] = (value % _MODULUS for value in accumulate(differences))
    return [next(values) if has else None for has in raw.present]
