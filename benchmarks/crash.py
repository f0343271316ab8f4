"""Whether anything that was acknowledged is ever lost: writers and importers are killed at random moments.

    python benchmarks/crash.py [--writers 150] [--seed 1]

Each writer appends ticks of two GPUs to a spool as fast as it can and says each one that is in the file; it is
killed by SIGKILL.  Meanwhile importers run in pairs on what lies there, and every second one is killed too.
Then the tails of a third of the spools are torn or end in garbage, and everything is imported once more.
Last, bytes are flipped in other spools: what is lost must be the frames they lie in, and nothing else.
Exit code 1 if a frame is missing, doubled or wrong.
"""

import argparse
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from clusterplan.estimator.history.integrity import check_integrity
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.run_folder.folder import write_json
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.sampler.spool import Damage, Frame, read_frames

GPUS = ("GPU-0", "GPU-1")
LONGEST_S = 0.15  # of a writer's life after its first frame
DAMAGED_SPOOLS, FLIPS = 40, 5

WRITER = """
import sys
from pathlib import Path
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode
gpus = [{"uuid": f"GPU-{i}"} for i in range(2)]
with SpoolWriter(Path(sys.argv[1]), {"run": "r", "node": "n", "period_s": 1.0, "gpus": gpus}) as spool:
    for i in range(10**9):
        readings = tuple(GpuReading(g, utilisation_percent=i % 101, energy_mj=i * 1000) for g in range(2))
        spool.append(encode(Tick(1.7e9 + i, readings)))
        sys.stdout.write(f"{i}\\n")
        sys.stdout.flush()
"""
IMPORTER = """
import sys
from pathlib import Path
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.runs.collect import collect_run
with History(Path(sys.argv[1])) as history:
    print("open", flush=True)
    for folder in sys.argv[2:]:
        collect_run(Path(folder), history)
"""


def killed_writer(folder: Path, rng: random.Random) -> int:
    """How many ticks were acknowledged before the kill."""
    folder.mkdir()
    write_json(folder / "run.json", {"name": "crash", "began_s": 1.7e9})
    command = [sys.executable, "-c", WRITER, str(folder / "n.00000000.spool")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout  # noqa: S101
        writer.stdout.readline()
        time.sleep(rng.uniform(0, LONGEST_S))
        os.kill(writer.pid, signal.SIGKILL)
        lines = writer.stdout.read().split("\n")[:-1]
    return 1 + len(lines)


def importers(history: Path, folders: list[Path], rng: random.Random) -> int:
    """Two at once on the same folders, one of them killed on the way; whether it was on its way."""
    command = [sys.executable, "-c", IMPORTER, str(history), *map(str, folders)]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for one in pair:
        assert one.stdout  # noqa: S101
        one.stdout.readline()
    time.sleep(rng.uniform(0, 0.3))
    pair[0].kill()
    codes = [one.wait() for one in pair]
    for one in pair:
        one.stdout.close()
    if codes[1]:
        sys.exit(f"an importer that was not killed failed with {codes[1]}")
    return codes[0] < 0


def tear(path: Path, rng: random.Random) -> None:
    """End a spool as a crash may: in half a frame, or in garbage."""
    whole = path.read_bytes()
    half = whole[-rng.randrange(20, 60) :][: rng.randrange(1, 20)]
    path.write_bytes(whole + rng.choice((half, rng.randbytes(rng.randrange(1, 400)))))


def rows(history: Path, run: str) -> Iterator[tuple[str, float, int | None]]:
    with History(history) as db:
        for uuid in GPUS:
            for time_s, reading in db.readings(run, uuid):
                yield uuid, time_s, reading.energy_mj


def flipped(source: Path, target: Path, rng: random.Random) -> tuple[int, int]:
    """Flip bytes of a spool after its header; (frames hit, frames read back), which must be the others, as they were."""
    data = bytearray(source.read_bytes())
    frames = [f for f in read_frames(io.BytesIO(data)) if isinstance(f, Frame)]
    hit = set()
    for _ in range(FLIPS):
        position = rng.randrange(frames[0].end, frames[-1].end)
        data[position] ^= rng.randrange(1, 256)
        hit.add(next(i for i, f in enumerate(frames) if position < f.end))
    target.write_bytes(data)
    found = [f for f in read_frames(io.BytesIO(data)) if not isinstance(f, Damage)]
    if [f.payload for f in found] != [f.payload for i, f in enumerate(frames) if i not in hit]:
        sys.exit(f"{target}: damage took more than the frames it hit, or brought something else")
    return len(hit), len(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writers", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        history = Path(scratch) / "history.db"
        acknowledged: dict[Path, int] = {}
        interrupted = pairs = 0
        for number in range(given.writers):
            folder = Path(scratch) / f"run-{number:04d}"
            acknowledged[folder] = killed_writer(folder, rng)
            if number % 2:
                interrupted += importers(history, list(acknowledged)[-4:], rng)
                pairs += 1
        torn = [folder for folder in acknowledged if rng.random() < 1 / 3]
        for folder in torn:
            tear(folder / "n.00000000.spool", rng)
        for _ in range(2):
            with History(history) as db:
                for folder in acknowledged:
                    collect_run(folder, db)
        lost = extra = 0
        for folder, ticks in acknowledged.items():
            found = list(rows(history, folder.name))
            there = {uuid: [(t, mj) for u, t, mj in found if u == uuid] for uuid in GPUS}
            for seen in there.values():
                expected = [(1.7e9 + i, i * 1000) for i in range(max(ticks, len(seen)))]
                lost += max(ticks - len(seen), 0)
                extra += sum(a != b for a, b in zip(seen, expected, strict=False))
        faults = check_integrity(history).faults
        some = sorted(acknowledged, key=acknowledged.__getitem__)[-DAMAGED_SPOOLS:]
        hits = [flipped(f / "n.00000000.spool", Path(scratch) / f"{f.name}.damaged", rng) for f in some]
    total = sum(acknowledged.values())
    print(f"{given.writers} writers killed: {total:,} acknowledged frames, {total * len(GPUS):,} readings")
    print(
        f"{2 * pairs} importers, {interrupted} of {pairs} killed on their way; {len(torn)} spools with torn or garbage tails"
    )
    print(f"lost readings: {lost}; doubled or wrong: {extra}; SQLite's check: {', '.join(faults) or 'ok'}")
    print(
        f"{len(some)} spools with {FLIPS} flipped bytes: {sum(h for h, _ in hits)} frames hit, all {sum(n for _, n in hits):,} others recovered"
    )
    if lost or extra or faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
