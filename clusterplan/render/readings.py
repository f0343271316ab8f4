"""Raw readings as CSV, JSON or Parquet, one row per GPU and tick, without ever holding all of them.

The only importer of pyarrow, which is an optional extra.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

from ..cluster_profiles.visible_text import spreadsheet_cell
from ..errors import PackageMissing
from ..estimator.gpu_use.reading import METRICS, GpuReading

Row = tuple[str, str, str, float, GpuReading]  # run, node, UUID, Unix time, reading

_KEYS = ("run", "node", "uuid", "time_s")
_ROWS_AT_ONCE = 10_000


def csv_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a header, then a line per row; the driver's own samples are a JSON list in the last column.

    No text of a run is a formula to a spreadsheet, or steers the terminal.
    """
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="")
    writer.writerow((*_KEYS, *METRICS, "ring"))
    yield line.getvalue()
    for row in rows:
        line.seek(0)
        line.truncate()
        cells = _values(row) | {"ring": json.dumps(row[-1].ring)}
        writer.writerow(
            [spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in cells.values()]
        )
        yield line.getvalue()


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON object per row."""
    return (json.dumps(_values(row)) for row in rows)


def json_list(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one JSON list of the same objects, piece by piece."""
    before = "["
    for line in json_lines(rows):
        yield before + line
        before = ","
    yield "]" if before == "," else "[]"


def write_parquet(rows: Iterable[Row], file: IO[bytes]) -> None:
    """Write the same columns as a Parquet file; `ring` is a list of (`before_s`, `percent`).  Raises PackageMissing."""
    try:
        import pyarrow as pa  # noqa: PLC0415  an optional extra
        import pyarrow.parquet as pq  # noqa: PLC0415  likewise
    except ImportError:
        raise PackageMissing("Parquet needs pyarrow: pip install 'clusterplan[parquet]'") from None
    samples = pa.list_(pa.struct([("before_s", pa.float64()), ("percent", pa.int64())]))
    kinds = {name: pa.string() for name in _KEYS} | {"time_s": pa.float64()}
    kinds |= {name: pa.uint64() if metric.parts == 1 else pa.float64() for name, metric in METRICS.items()}
    kinds |= {"ring": samples}
    schema = pa.schema(kinds.items())
    with pq.ParquetWriter(file, schema) as writer:
        remaining = iter(rows)
        while lot := list(islice(remaining, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist([_with_named_ring(row) for row in lot], schema))


def _values(row: Row) -> dict[str, Any]:
    *keys, reading = row
    return {
        **dict(zip(_KEYS, keys, strict=True)),
        **{name: getattr(reading, name) for name in METRICS},
        "ring": reading.ring,
    }


def _with_named_ring(row: Row) -> dict[str, Any]:
    values = _values(row)
    return values | {"ring": [{"before_s": before, "percent": percent} for before, percent in values["ring"]]}
