"""Whether what was acknowledged is ever lost: writers, importers and rebuilds are killed at random moments.

Runs have two nodes at once, each with a sampler of its own and a host name of its own.  A writer says of each tick that
`append` has returned.  Every third pair of runs is on a small disk that fills and empties meanwhile.  Importers run in pairs,
on two hosts, on what lies there, and one of each pair is killed; so are rebuilds.  In the end everything is imported once
more: each reading that was acknowledged must be there once and right, and the energy must be that of the counters.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fault_flips import FLIPS, flip_frames, tear
from fault_writers import (
    GPUS,
    NODES,
    T0,
    acknowledged_numbers,
    become_host,
    readings_at,
    start,
    write_progress,
    write_spool,
)

from clusterplan.errors import ClusterplanError
from clusterplan.estimator.history.integrity import check_integrity
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run
from clusterplan.launcher.run_folder.progress.loop_lines import read_progress
from clusterplan.launcher.runs.collect import collect_run, folders_of_history

LONGEST_S = 0.2  # of a writer's life after its first tick
DISK = "size=3m"
DAMAGED_SPOOLS = 40


@dataclass
class Tally:
    """What was acknowledged, and what became of it."""

    writers: int = 0
    readings: int = 0
    lost: int = 0
    wrong: int = 0
    energies: int = 0
    wrong_energies: int = 0
    progress_lines: int = 0
    lost_lines: int = 0
    importers: int = 0
    killed_importers: int = 0
    rebuilds: int = 0
    full_disks: int = 0
    torn: int = 0
    recovered_frames: int = 0
    faults: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not (self.lost or self.wrong or self.wrong_energies or self.lost_lines or self.faults)

    def lines(self) -> Iterator[str]:
        """Yield what was tried and what was lost, for a reader."""
        yield f"{self.writers} writers killed; disks filled and emptied {self.full_disks} times; {self.torn} spools torn"
        yield f"{self.importers} importers on two hosts at once, {self.killed_importers} killed on their way; {self.rebuilds} rebuilds killed"
        yield f"{self.readings:,} acknowledged readings: {self.lost} lost, {self.wrong} doubled or wrong"
        yield f"{self.energies} energies of GPUs: {self.wrong_energies} wrong"
        yield f"{self.progress_lines:,} acknowledged lines of progress: {self.lost_lines} lost or doubled"
        yield f"{self.recovered_frames:,} frames read back from spools with {FLIPS} flipped bytes each"
        yield from (f"not tried: {text}" for text in self.skipped)
        yield from (f"fault: {text}" for text in self.faults)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Give a disk of 3 MB; None where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill_and_empty(disk: Path, rng: random.Random, times: int) -> None:
    filler = disk / "filler"
    for _ in range(times):
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        time.sleep(rng.uniform(0.01, 0.05))
        filler.unlink()
        time.sleep(rng.uniform(0.01, 0.05))


def _killed_run(
    root: Path, history: Path, rng: random.Random, disk: Path | None, tally: Tally
) -> dict[str, set[int]]:
    """Write a run on two nodes until both are killed; return the acknowledged ticks by node."""
    name = f"r{rng.randrange(10**8):08d}"
    facts = {"kind": "sample", "began_s": T0, "command": ["train"]}
    folder = create_run_folder(name, root, datetime.fromtimestamp(T0, UTC), facts)
    register_run(folder, history)
    writers = [start(lambda pipe, node=node: write_spool(folder, node, pipe)) for node in NODES]  # type: ignore[misc]
    steps = start(lambda pipe: write_progress(folder, pipe)) if disk is None else None
    if disk is not None:
        _fill_and_empty(disk, rng, 2)
        tally.full_disks += 2
    time.sleep(rng.uniform(0, LONGEST_S))
    ticks = {
        node: set(acknowledged_numbers(writer.kill())) for node, writer in zip(NODES, writers, strict=True)
    }
    tally.writers += len(NODES)
    if steps is not None:
        said = acknowledged_numbers(steps.kill())
        tally.writers += 1
        tally.progress_lines += len(said)
        kept = [line.step for line in read_progress(folder)[0]]
        tally.lost_lines += len(set(said) - set(kept)) + len(kept) - len(set(kept))
    return {f"{folder.name}|{node}": ticks[node] for node in NODES}


def _import(history: Path, folders: Sequence[Path], host: str, pipe: int) -> None:
    become_host(host)
    with History(history) as db:
        os.write(pipe, b"open")
        for folder in folders:
            collect_run(folder, db)


def _import_in_pairs(history: Path, folders: Sequence[Path], rng: random.Random, tally: Tally) -> None:
    """Import on two hosts at once; kill one of them on its way."""
    pair = [start(lambda pipe, host=host: _import(history, folders, host, pipe)) for host in ("h0", "h1")]  # type: ignore[misc]
    for each in pair:
        os.read(each.pipe, 4)
    time.sleep(rng.uniform(0, 0.3))
    tally.importers += 2
    with suppress(ProcessLookupError):
        os.kill(pair[0].pid, signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(each.pid, 0)[1]) for each in pair]
    for each in pair:
        os.close(each.pipe)
    tally.killed_importers += codes[0] < 0
    if codes[1]:
        tally.faults.append(f"an importer that was not killed failed with {codes[1]}")


def _rebuild_killed(history: Path, rng: random.Random, tally: Tally) -> None:
    """Kill a rebuild; the old history must stay as it is."""
    before = history.read_bytes()
    new = history.with_name("history.rebuilt.db")
    child = start(lambda pipe: _import(new, list(folders_of_history(history)), "h2", pipe))
    os.read(child.pipe, 4)
    time.sleep(rng.uniform(0, 0.3))
    child.kill()
    tally.rebuilds += 1
    if history.read_bytes() != before:
        tally.faults.append("a killed rebuild changed the old history")
    for path in history.parent.glob("history.rebuilt.*"):
        path.unlink()


def _compare(history: Path, acknowledged: dict[str, set[int]], tally: Tally) -> None:
    """Compare the history with what was acknowledged: rows, values and energies."""
    with sqlite3.connect(history) as db:
        energies = {
            (run, uuid): mj for run, uuid, mj in db.execute("SELECT run, uuid, energy_j FROM run_gpu")
        }
    db.close()
    with History(history) as whole:
        for key, ticks in acknowledged.items():
            run, _, node = key.partition("|")
            for place in range(GPUS):
                uuid = f"{run[:9]}-{node}-{place}"
                rows = list(whole.readings(run, uuid))
                kept = [round(time_s - T0) for time_s, _ in rows]
                tally.readings += len(ticks)
                tally.lost += len(ticks - set(kept))
                tally.wrong += len(kept) - len(set(kept))
                tally.wrong += sum(
                    r != readings_at(t)[place]._replace(gpu=r.gpu)
                    for t, (_, r) in zip(kept, rows, strict=True)
                )
                if rows:
                    tally.energies += 1
                    expected = max(kept) - min(kept)
                    tally.wrong_energies += (
                        abs((energies.get((run, uuid)) or 0) - expected) > 1e-6 * expected + 1e-6
                    )


def run_kills(scratch: Path, runs: int, rng: random.Random) -> Tally:
    """Kill the writers of this many runs, importers and rebuilds between them, and compare."""
    tally, history = Tally(), scratch / "history.db"
    acknowledged: dict[str, set[int]] = {}
    with small_disk(scratch / "small") as disk:
        if disk is None:
            tally.skipped.append("a disk that fills: none may be mounted here")
        for number in range(runs):
            on_disk = disk if number % 3 == 2 else None
            acknowledged |= _killed_run((on_disk or scratch) / "runs", history, rng, on_disk, tally)
            if on_disk:  # it is small: take the run to the large one
                for folder in (on_disk / "runs").iterdir():
                    _move(folder, scratch / "runs", history)
            if number % 2:
                folders = sorted((scratch / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
                _import_in_pairs(history, folders[-4:], rng, tally)
            if number % 8 == 7:
                _rebuild_killed(history, rng, tally)
    spools = sorted((scratch / "runs").glob("*/*.spool"))
    for path in rng.sample(spools, len(spools) // 3):
        tear(path, rng)
        tally.torn += 1
    _import_all(history, tally)
    _import_all(history, tally)
    _compare(history, acknowledged, tally)
    tally.faults += check_integrity(history).faults
    for path in rng.sample(spools, min(DAMAGED_SPOOLS, len(spools))):
        recovered, fault = flip_frames(path, rng)
        tally.recovered_frames += recovered
        tally.faults += [fault] if fault else []
    return tally


def _import_all(history: Path, tally: Tally) -> None:
    with History(history) as db:
        for folder in folders_of_history(history):
            try:
                collect_run(folder, db)
            except ClusterplanError as error:
                tally.faults.append(str(error))


def _move(folder: Path, root: Path, history: Path) -> None:
    (history.with_suffix(".runs") / folder.name).unlink()
    shutil.move(folder, root / folder.name)
    register_run(root / folder.name, history)
