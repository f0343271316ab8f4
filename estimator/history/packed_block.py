"""Ten minutes of one GPU's readings in a few bytes each: columns of differences, compressed.

A block is the byte `2`, then zlib over columns in the order of `COLUMNS`, after the number of readings (u32).  A
column is one byte a reading that says whether it has the value (1) or not (0), then the differences of the values
that are there.  The ring is three columns more: samples a reading, their milliseconds, their per cent.

A difference d, modulo 2^64, is kept as 2d, or -2d - 1 if it is negative; first the lowest byte of all of them, then
the next: the higher bytes are nearly all 0 and take no room.  Presence and lowest bytes, the next bytes, and the rest
are a deflate block each, with a code of its own, because their bytes are distributed quite differently.  Blocks of the first version have no byte in front, and
their differences are i64 as they are.
"""

import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise

from ..gpu_use.reading import SHARE_SCALE, SHARES, GpuReading

COLUMNS = tuple(name for name in GpuReading._fields if name not in {"gpu", "ring"})
_COUNT = struct.Struct("<I")
_VERSION = b"2"  # zlib never begins with it
_WORD = 8  # bytes
_MODULUS = 1 << 64


def pack(rows: Sequence[tuple[float, GpuReading]]) -> bytes:
    """Readings with their Unix times, in ascending order of time."""
    columns: list[list[int | None]] = [[round(time_s * 1000) for time_s, _ in rows]]
    for name in COLUMNS:
        scale = SHARE_SCALE if name in SHARES else 1
        values = (getattr(reading, name) for _, reading in rows)
        columns.append([None if value is None else round(value * scale) for value in values])
    ring = [sample for _, reading in rows for sample in reading.ring]
    columns.append([len(reading.ring) for _, reading in rows])
    columns.append([round(before * 1000) for before, _ in ring])
    columns.append([percent for _, percent in ring])
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    parts = [_VERSION, deflate.compress(_COUNT.pack(len(rows)))]
    for part in chain.from_iterable(map(_column, columns)):
        parts += deflate.compress(part), deflate.flush(zlib.Z_BLOCK)
    return b"".join((*parts, deflate.flush()))


def unpack(packed: bytes, gpu: int = 0) -> list[tuple[float, GpuReading]]:
    """The rows of a block.

    >>> unpack(pack([(1.5, GpuReading(0, power_mw=90, ring=((0.1, 7),)))]))[0][1].power_mw
    90
    """
    planar = packed.startswith(_VERSION)
    data = zlib.decompress(packed[planar:])
    (count,) = _COUNT.unpack_from(data)
    position, columns = _COUNT.size, []
    for _ in range(len(COLUMNS) + 2):
        column, position = _read_column(data, position, count, planar=planar)
        columns.append(column)
    times, *fields, lengths = columns
    samples = sum(n or 0 for n in lengths)
    before, position = _read_column(data, position, samples, planar=planar)
    percents, position = _read_column(data, position, samples, planar=planar)
    ring = iter([((b or 0) / 1000, p or 0) for b, p in zip(before, percents, strict=True)])
    rows = []
    for i, time_ms in enumerate(times):
        values = {
            name: None if (v := column[i]) is None else v / SHARE_SCALE if name in SHARES else v
            for name, column in zip(COLUMNS, fields, strict=True)
        }
        own = tuple(next(ring) for _ in range(lengths[i] or 0))
        rows.append(((time_ms or 0) / 1000, GpuReading(gpu, **values, ring=own)))  # type: ignore[arg-type]
    return rows


def _column(values: Sequence[int | None]) -> tuple[bytes, bytes, bytes]:
    present = bytes([value is not None for value in values])
    known = [value for value in values if value is not None]
    differences = [(b - a) % _MODULUS for a, b in pairwise([0, *known])]
    folded = array(
        "Q", [2 * d if d < _MODULUS // 2 else 2 * (_MODULUS - d) - 1 for d in differences]
    ).tobytes()
    low, middle, *high = (folded[plane::_WORD] for plane in range(_WORD))
    return present + low, middle, b"".join(high)


def _read_column(data: bytes, position: int, count: int, *, planar: bool) -> tuple[list[int | None], int]:
    present = data[position : position + count]
    begin, there = position + count, sum(present)
    end = begin + there * _WORD
    values: Iterator[int]
    if planar:
        words = bytearray(there * _WORD)
        for plane in range(_WORD):
            words[plane::_WORD] = data[begin + plane * there : begin + (plane + 1) * there]
        differences = [word >> 1 if word % 2 == 0 else -(word >> 1) - 1 for word in array("Q", bytes(words))]
        values = iter([value % _MODULUS for value in accumulate(differences)])
    else:
        values = accumulate(array("q", data[begin:end]))
    return [next(values) if has else None for has in present], end
