"""Raw readings as CSV, JSON or Parquet, a row a GPU and tick, without ever holding all of them.

The only importer of pyarrow, which is an optional extra.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

from ..errors import PackageMissing
from ..estimator.gpu_use.reading import SHARES, GpuReading

Row = tuple[str, str, str, float, GpuReading]  # run, node, UUID, Unix time, reading

_KEYS = ("run", "node", "uuid", "time_s")
_VALUES = tuple(name for name in GpuReading._fields if name not in {"gpu", "ring"})
_ROWS_AT_ONCE = 10_000


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """A header, then a line a row; the driver's own samples are a JSON list in the last column."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="")
    writer.writerow((*_KEYS, *_VALUES, "ring"))
    yield line.getvalue()
    for row in rows:
        line.seek(0)
        line.truncate()
        values = _values(row)
        writer.writerow([*list(values.values())[:-1], json.dumps(values["ring"])])
        yield line.getvalue()


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """An object a row."""
    return (json.dumps(_values(row)) for row in rows)


def json_list(rows: Iterable[Row]) -> Iterator[str]:
    """One list of the same objects."""
    before = "["
    for line in json_lines(rows):
        yield before + line
        before = ","
    yield "]" if before == "," else "[]"


def write_parquet(rows: Iterable[Row], file: IO[bytes]) -> None:
    """The same columns as a Parquet file; `ring` is a list of (`before_s`, `percent`).  Raises PackageMissing."""
    try:
        import pyarrow as pa  # noqa: PLC0415  an optional extra
        import pyarrow.parquet as pq  # noqa: PLC0415  likewise
    except ImportError:
        raise PackageMissing("Parquet needs pyarrow: pip install 'clusterplan[parquet]'") from None
    samples = pa.list_(pa.struct([("before_s", pa.float64()), ("percent", pa.int64())]))
    kinds = {name: pa.string() for name in _KEYS} | {"time_s": pa.float64()}
    kinds |= {name: pa.float64() if name in SHARES else pa.uint64() for name in _VALUES} | {"ring": samples}
    schema = pa.schema(kinds.items())
    with pq.ParquetWriter(file, schema) as writer:
        left = iter(rows)
        while some := list(islice(left, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([_named(row) for row in some], schema))


def _values(row: Row) -> dict[str, Any]:
    *keys, reading = row
    return {
        **dict(zip(_KEYS, keys, strict=True)),
        **{name: getattr(reading, name) for name in _VALUES},
        "ring": reading.ring,
    }


def _named(row: Row) -> dict[str, Any]:
    values = _values(row)
    return values | {"ring": [{"before_s": before, "percent": percent} for before, percent in values["ring"]]}
