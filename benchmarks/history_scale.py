"""What a large history costs: import speed, bytes per sample, and the three questions people ask most.

    python benchmarks/history_scale.py [--samples 3.5e6] [--folder FOLDER]

Runs of 8 GPUs and 3 hours at 1 Hz, over 60 days.  A few are imported from spools, which gives the speed of
importing.  All others have their blocks and rollups written directly, as the importer would; their bytes are those of
a hundred distinct blocks over and over, whose inner times nothing here reads.  Up to 1e7 samples a naive table
of a row per sample is put beside it.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from history_runs import DAYS, GPUS, IMPORTED_RUNS, RUN_S, T0, imported, naive, readings, written

from clusterplan.estimator.history.packed_block import pack
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.history.samples import BLOCK_S

NAIVE_UP_TO = 10_000_000
REPEATS = 15


def median_ms(ask: Callable[..., object]) -> float:
    """CPU milliseconds of a question whose pages are in memory: what others do on the machine is not in it."""
    ask()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        ask()
        times.append(time.process_time() - started)
    return statistics.median(times) * 1000


def table_bytes(path: Path) -> dict[str, int]:
    db = sqlite3.connect(path)
    try:
        return dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    except sqlite3.OperationalError:  # an SQLite without dbstat
        return {}
    finally:
        db.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=float, default=3.5e6)
    parser.add_argument("--folder", type=Path, help="where its temporary files go; 1e8 samples need 2 GB")
    arguments = parser.parse_args()
    runs = max(round(arguments.samples / (GPUS * RUN_S)), 1)
    samples = runs * GPUS * RUN_S
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch)
        with History(folder / "imported.db") as history:
            rows, seconds, cpu = imported(folder, history)
        speeds = f"{rows / seconds:,.0f} readings/s, {rows / cpu:,.0f} per CPU second"
        print(f"import from spools, all metrics and notes: {speeds} ({rows:,} in {seconds:.1f} s)\n")

        with History(folder / "history.db"):
            pass
        written(folder / "history.db", runs)
        report(folder, runs, samples)


def report(folder: Path, runs: int, samples: int) -> None:
    path, day = folder / "history.db", 86400
    middle, since = f"train-{runs // 2:05d}", T0 + 2 * IMPORTED_RUNS * RUN_S + (DAYS - 30) * day
    size = path.stat().st_size
    parts = {"raw": "raw_block", "rollups": "rollup"}
    sizes = table_bytes(path)
    apart = [
        f"{part} {sum(n for t, n in sizes.items() if name in t) / samples:.1f}"
        for part, name in parts.items()
    ]
    print(f"{samples:,} readings of {runs:,} runs: {size / 1e6:,.0f} MB")
    print(
        f"bytes per reading, eight base metrics: {size / samples:.1f}"
        + (f" ({', '.join(apart)})" if sizes else "")
    )
    kinds = {
        "base": {},
        "and ring": {"ring": True},
        "and GPM": {"gpm": True},
        "and both": {"ring": True, "gpm": True},
    }
    for name, kind in kinds.items():
        lengths = [len(pack(list(readings(0.0, BLOCK_S, seed, **kind)))) for seed in range(20)]
        print(f"  a packed block, {name}: {statistics.fmean(lengths) / BLOCK_S:.1f}")
    with History(path) as history:
        ours = {
            "list the runs": history.runs,
            "mean utilisation per run, 30 days": lambda: history.runs(since_s=since),
            "plot one run x 8 GPUs": lambda: history.course(middle),
        }
        costs = {name: [median_ms(ask)] for name, ask in ours.items()}
    columns = ["clusterplan"]
    if samples <= NAIVE_UP_TO:
        naive(folder / "naive.db", runs)
        db = sqlite3.connect(folder / "naive.db")
        theirs = {
            "list the runs": "SELECT run, min(time_s), max(time_s), count(DISTINCT uuid), avg(utilisation_percent) FROM sample GROUP BY run",
            "mean utilisation per run, 30 days": f"SELECT run, avg(utilisation_percent) FROM sample WHERE time_s >= {since} GROUP BY run",
            "plot one run x 8 GPUs": f"SELECT uuid, time_s, utilisation_percent FROM sample WHERE run = '{middle}'",
        }
        for name, query in theirs.items():
            costs[name].append(median_ms(lambda query=query: db.execute(query).fetchall()))
        db.close()
        columns.append("a row per reading")
        print(f"  a row per reading: {(folder / 'naive.db').stat().st_size / samples:.1f}")
    print(f"\n{'median CPU ms':<34}" + "".join(f"{name:>16}" for name in columns))
    for name, values in costs.items():
        print(f"{name:<34}" + "".join(f"{value:>16.2f}" for value in values))


if __name__ == "__main__":
    main()
