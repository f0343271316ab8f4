"""Ten minutes of one GPU's readings in a few bytes each: columns of differences, compressed.

A block is zlib over two numbers, readings (u32) and metrics (u32), and then columns: the times in milliseconds, the
metrics in the order of the registry, and the ring, which takes three: samples per reading, their milliseconds, their
per cent.  A block has the metrics of its day: one with fewer than the registry lacks the last ones, and of one with
more the last ones are left out.

A column is one byte per reading that says whether it has a value (1) or not (0), then the differences between the
values.  A difference d, modulo 2^64, is kept as 2d, or as -2d - 1 if it is negative: first the lowest byte of all of
them, then the next: the higher bytes are nearly all 0 and take no room.  Presence and lowest bytes, the next bytes,
and the rest are a deflate block each, with a code of its own, because their bytes are distributed quite differently.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise

from ..gpu_use.reading import METRICS, GpuReading

_HEAD = struct.Struct("<II")  # readings, metrics
_WORD = 8  # bytes
_MODULUS = 1 << 64

_Column = list[int | None]


def pack(rows: Sequence[tuple[float, GpuReading]]) -> bytes:
    """Return a block of readings with their Unix times, in ascending order of time."""
    ring = [sample for _, reading in rows for sample in reading.ring]
    columns: list[Sequence[int | None]] = [
        [round(time_s * 1000) for time_s, _ in rows],
        *(
            _whole_numbers((getattr(reading, name) for _, reading in rows), metric.parts)
            for name, metric in METRICS.items()
        ),
        [len(reading.ring) for _, reading in rows],
        [round(before_s * 1000) for before_s, _ in ring],
        [percent for _, percent in ring],
    ]
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    parts = [deflate.compress(_HEAD.pack(len(rows), len(METRICS)))]
    for part in chain.from_iterable(map(_encode_column, columns)):
        parts += deflate.compress(part), deflate.flush(zlib.Z_BLOCK)
    return b"".join((*parts, deflate.flush()))


def unpack(packed: bytes, gpu: int = 0) -> list[tuple[float, GpuReading]]:
    """Return the readings of a block with their Unix times.  Raises zlib.error or struct.error for damage.

    >>> unpack(pack([(1.5, GpuReading(0, power_mw=90, ring=((0.1, 7),)))]))[0][1].power_mw
    90
    """
    data = zlib.decompress(packed)
    readings, metrics = _HEAD.unpack_from(data)
    columns, position = [], _HEAD.size
    for _ in range(metrics + 2):
        column, position = _decode_column(data, position, readings)
        columns.append(column)
    times, *values, lengths = columns
    samples = sum(length or 0 for length in lengths)
    before_ms, position = _decode_column(data, position, samples)
    percents, position = _decode_column(data, position, samples)
    ring = iter([((ms or 0) / 1000, percent or 0) for ms, percent in zip(before_ms, percents, strict=True)])
    values += [[None] * readings for _ in range(len(METRICS) - metrics)]
    in_units = [
        _in_units(column, metric.parts) for column, metric in zip(values, METRICS.values(), strict=False)
    ]
    return [
        ((time_ms or 0) / 1000, GpuReading._make((gpu, *row, tuple(islice(ring, length)))))
        for time_ms, length, *row in zip(times, lengths, *in_units, strict=True)
    ]


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


def _decode_column(data: bytes, position: int, length: int) -> tuple[_Column, int]:
    """Return the column at `position` of the data, and the position after it."""
    present = data[position : position + length]
    begin, number = position + length, sum(present)
    words = bytearray(number * _WORD)
    for plane in range(_WORD):
        words[plane::_WORD] = data[begin + plane * number : begin + (plane + 1) * number]
    differences = [word >> 1 if word % 2 == 0 else -(word >> 1) - 1 for word in array("Q", bytes(words))]
    values: Iterator[int] = (value % _MODULUS for value in accumulate(differences))
    return [next(values) if has else None for has in present], begin + number * _WORD
