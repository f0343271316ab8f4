"""Runs for a history by the thousand: imported from spools, written as the importer would, and as a row per sample."""

import random
import sqlite3
import time
from collections.abc import Iterator
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
