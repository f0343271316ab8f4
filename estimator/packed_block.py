"""Ten minutes of one GPU's readings in a few bytes each: columns of differences, compressed.

The block is zlib over columns in the order of `COLUMNS`, after the number of readings (u32).  A column is one
byte a reading that says whether it has the value (1) or not (0), then the differences of the values that are
there, as i64.  The ring is three columns more: samples a reading, their milliseconds, their per cent.
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

from .runs import GpuReading

COLUMNS = tuple(name for name in GpuReading.__slots__ if name not in {"gpu", "ring"})
SHARES = frozenset(("sm_active", "occupancy", "tensor_active", "dram_active"))
SHARE_SCALE = 1000
_COUNT = struct.Struct("<I")


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
    return zlib.compress(_COUNT.pack(len(rows)) + b"".join(map(_column, columns)), 6)


def unpack(packed: bytes, gpu: int = 0) -> list[tuple[float, GpuReading]]:
    """The rows of a block.

    >>> unpack(pack([(1.5, GpuReading(0, power_mw=90, ring=((0.1, 7),)))]))[0][1].power_mw
    90
    """
    data = zlib.decompress(packed)
    (count,) = _COUNT.unpack_from(data)
    position, columns = _COUNT.size, []
    for _ in range(len(COLUMNS) + 2):
        column, position = _read_column(data, position, count)
        columns.append(column)
    times, *fields, lengths = columns
    samples = sum(n or 0 for n in lengths)
    before, position = _read_column(data, position, samples)
    percents, position = _read_column(data, position, samples)
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


def _column(values: Iterable[int | None]) -> bytes:
    present, differences, last = bytearray(), array("q"), 0
    for value in values:
        present.append(value is not None)
        if value is not None:
            differences.append(value - last)
            last = value
    return bytes(present) + differences.tobytes()


def _read_column(data: bytes, position: int, count: int) -> tuple[list[int | None], int]:
    present = data[position : position + count]
    there = sum(present)
    differences = array("q")
    begin = position + count
    end = begin + there * differences.itemsize
    differences.frombytes(data[begin:end])
    values = iter(accumulate(differences))
    return [next(values) if has else None for has in present], end
