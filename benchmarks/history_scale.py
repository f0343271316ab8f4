"""What a large history costs: import speed, bytes per sample, and the three questions people ask most.

    python benchmarks/history_scale.py [--samples 3.5e6] [--folder FOLDER]

Runs of 8 GPUs and 3 hours at 1 Hz, over 60 days.  A few are imported from spools, which gives the speed of
importing.  All others have their blocks and rollups written directly, as the importer would; their bytes are those of
a hundred distinct blocks over and over, whose inner times nothing here reads.  Up to 1e7 samples a naive table
of a row per sample is put beside it.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.estimator.gpu_use.rollup import roll_up
from clusterplan.estimator.history.packed_block import pack
from clusterplan.estimator.history.rollup_table import WIDTHS_S, insert_rollup, stored_values
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.history.samples import BLOCK_S
from clusterplan.launcher.run_folder.folder import create_run_folder, write_json
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

GPUS, RUN_S, DAYS = 8, 3 * 3600, 60
T0 = 1_760_000_400 // BLOCK_S * BLOCK_S
IMPORTED_RUNS, DISTINCT = 2, 100
NAIVE_UP_TO = 10_000_000
REPEATS = 15
BASE = (
    "utilisation_percent",
    "memory_utilisation_percent",
    "memory_used_bytes",
    "power_mw",
    "temperature_c",
    "sm_clock_mhz",
    "clock_reasons",
    "energy_mj",
)
Rows = list[tuple[float, GpuReading]]


def readings(
    begin_s: float, seconds: int, seed: int, *, ring: bool = False, gpm: bool = False
) -> Iterator[tuple[float, GpuReading]]:
    """A GPU that trains: noisy work with an evaluation in every twelfth minute, in the eight base metrics."""
    rng = random.Random(seed)
    energy = rng.randrange(10**12)
    memory = 60 * 2**30
    for second in range(seconds):
        level = 15 if second % 720 < 40 else 93
        use = min(max(round(rng.gauss(level, 4)), 0), 100)
        power = round(rng.gauss(70_000 + 5_700 * use, 8_000))
        energy += power
        memory += rng.choice((0, 0, 0, 2**21, -(2**21)))
        yield (
            begin_s + second + rng.uniform(0, 0.003),
            GpuReading(
                0,
                utilisation_percent=use,
                memory_utilisation_percent=round(use * 0.45),
                memory_used_bytes=memory,
                power_mw=power,
                temperature_c=30 + round(use * 0.4),
                sm_clock_mhz=1980 if rng.random() < 0.9 else 1965,
                clock_reasons=0 if rng.random() < 0.9 else 4,
                energy_mj=energy,
                ring=tuple((1 - (i + 1) / 6, min(max(round(rng.gauss(level, 6)), 0), 100)) for i in range(6))
                if ring
                else (),
                **cast(
                    "dict[str, Any]",
                    {
                        n: rng.randrange(700, 800) / 1000
                        for n in ("sm_active", "occupancy", "tensor_active", "dram_active")
                    }
                    if gpm
                    else {},
                ),
            ),
        )


def imported(folder: Path, history: History) -> tuple[int, float, float]:
    """(samples, seconds, CPU seconds) of importing runs from spools, notes included."""
    folders = []
    for number in range(IMPORTED_RUNS):
        begin = T0 + number * RUN_S
        made = create_run_folder(
            "spooled",
            folder / "runs",
            datetime.fromtimestamp(begin, UTC),
            {"kind": "sample", "began_s": begin},
        )
        gpus = [
            {"uuid": f"GPU-{i}", "name": "NVIDIA H100 80GB HBM3", "memory_bytes": 80 * 2**30}
            for i in range(GPUS)
        ]
        every = [readings(begin, RUN_S, number * GPUS + i, ring=True, gpm=True) for i in range(GPUS)]
        with SpoolWriter(
            made / "n1.00000000.spool", {"run": made.name, "node": "n1", "period_s": 1.0, "gpus": gpus}
        ) as spool:
            for rows in zip(*every, strict=True):
                spool.append(
                    encode(Tick(rows[0][0], tuple(r._replace(gpu=i) for i, (_, r) in enumerate(rows))))
                )
        write_json(made / "status.json", {"state": "completed", "exit_code": 0, "ended_s": begin + RUN_S})
        folders.append(made)
    started, cpu = time.perf_counter(), time.process_time()
    for made in folders:
        collect_run(made, history)
    return IMPORTED_RUNS * GPUS * RUN_S, time.perf_counter() - started, time.process_time() - cpu


def written(path: Path, runs: int) -> None:
    """`runs` more runs, their blocks and rollups put in directly, in transactions of ten runs."""
    blocks = [list(readings(0.0, BLOCK_S, seed)) for seed in range(DISTINCT)]
    packed = [pack(rows) for rows in blocks]
    summed = [[stored_values(r) for width in WIDTHS_S for r in roll_up(rows, width)] for rows in blocks]
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")  # a benchmark's file may be lost
    for number in range(runs):
        begin = T0 + 2 * IMPORTED_RUNS * RUN_S + round(number * DAYS * 86400 / runs) // BLOCK_S * BLOCK_S
        run = f"train-{number:05d}"
        db.execute(
            "INSERT INTO run (run, name, model, folder, began_s, ended_s, state) VALUES (?, ?, 'phi2', '/runs', ?, ?, 'completed')",
            (run, "train", begin, begin + RUN_S),
        )
        db.execute("INSERT INTO node (run, node, period_s) VALUES (?, 'n1', 1.0)", (run,))
        for gpu in range(GPUS):
            uuid = f"GPU-{(number * GPUS + gpu) % 512}"
            db.execute("INSERT OR IGNORE INTO gpu (uuid, name) VALUES (?, 'NVIDIA H100 80GB HBM3')", (uuid,))
            db.execute("INSERT INTO series (run, uuid) VALUES (?, ?)", (run, uuid))
            for i in range(RUN_S // BLOCK_S):
                which, at = (number * 31 + gpu * 7 + i) % DISTINCT, begin + i * BLOCK_S
                db.execute(
                    "INSERT INTO raw_block (run, uuid, time_s, ticks, packed) VALUES (?, ?, ?, ?, ?)",
                    (run, uuid, at, BLOCK_S, packed[which]),
                )
                db.executemany(
                    insert_rollup(),
                    [(run, uuid, width_s, at + time_s, *rest) for width_s, time_s, *rest in summed[which]],
                )
            db.execute(
                "INSERT INTO run_gpu (run, uuid, node, place, first_s, last_s, ticks, utilisation_mean, energy_j, idle_s)"
                " VALUES (?, ?, 'n1', ?, ?, ?, ?, 88.0, 1e6, 0)",
                (run, uuid, gpu, begin, begin + RUN_S - 1, RUN_S),
            )
            db.execute(
                "INSERT INTO spool_gpu (run, uuid, spool, first_s, last_s) VALUES (?, ?, 'n1.0.spool', ?, ?)",
                (run, uuid, begin, begin + RUN_S - 1),
            )
        if number % 10 == 9:
            db.commit()
    db.commit()
    db.close()


def naive(path: Path, runs: int) -> None:
    """The same samples as rows of one table, clustered by its key."""
    blocks = [list(readings(0.0, BLOCK_S, seed)) for seed in range(DISTINCT)]
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    db.execute(
        f"CREATE TABLE sample (run TEXT, uuid TEXT, time_s REAL, {', '.join(BASE)}, PRIMARY KEY (run, uuid, time_s)) WITHOUT ROWID"
    )
    for number in range(runs):
        begin = T0 + 2 * IMPORTED_RUNS * RUN_S + round(number * DAYS * 86400 / runs) // BLOCK_S * BLOCK_S
        for gpu in range(GPUS):
            uuid = f"GPU-{(number * GPUS + gpu) % 512}"
            for i in range(RUN_S // BLOCK_S):
                rows = blocks[(number * 31 + gpu * 7 + i) % DISTINCT]
                db.executemany(
                    f"INSERT INTO sample VALUES (?, ?, ?, {', '.join('?' * len(BASE))})",
                    [
                        (f"train-{number:05d}", uuid, begin + i * BLOCK_S + t, *(getattr(r, n) for n in BASE))
                        for t, r in rows
                    ],
                )
        db.commit()
    db.close()


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
            "plot one run x 8 GPUs": lambda: [
                history.minutes(middle, gpu["uuid"]) for gpu in history.gpus(middle)
            ],
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
