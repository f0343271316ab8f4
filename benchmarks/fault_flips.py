"""Damaged spools: torn at the end, with flipped bytes in their frames, or in their header."""

import io
import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusterplan.errors import ClusterplanError
from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.run_folder.folder import write_json
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.sampler.spool import Damage, Frame, SpoolWriter, read_frames
from clusterplan.launcher.sampler.spool_items import encode

FLIPS = 5
TICKS, GPUS = 60, 2
T0 = 1_700_000_000.0


def tear(path: Path, rng: random.Random) -> None:
    """End a spool as a crash may: in half a frame, or in garbage."""
    whole = path.read_bytes()
    half = whole[-rng.randrange(20, 60) :][: rng.randrange(1, 20)]
    path.write_bytes(whole + rng.choice((half, rng.randbytes(rng.randrange(1, 400)))))


def flip_frames(source: Path, rng: random.Random) -> tuple[int, str | None]:
    """Flip bytes of a spool after its header; return the frames that are read back, and what is wrong with them.

    They must be those that were not hit, as they were.
    """
    data = bytearray(source.read_bytes())
    frames = [f for f in read_frames(io.BytesIO(data)) if isinstance(f, Frame)]
    if len(frames) < 2:
        return 0, None
    hit = set()
    for _ in range(FLIPS):
        position = rng.randrange(frames[0].end, frames[-1].end)
        data[position] ^= rng.randrange(1, 256)
        hit.add(next(i for i, f in enumerate(frames) if position < f.end))
    kept = [f.payload for f in read_frames(io.BytesIO(data)) if not isinstance(f, Damage)]
    is_right = kept == [f.payload for i, f in enumerate(frames) if i not in hit]
    return len(kept), None if is_right else f"{source.name}: damage took more than the frames it hit"


@dataclass
class HeaderTally:
    """How many bytes of a header were flipped, and how many times a reading was lost, or its GPU."""

    flips: int = 0
    lost: int = 0
    without_gpu: int = 0


def flip_headers(scratch: Path, rng: random.Random) -> HeaderTally:
    """Flip a bit in each byte of a spool's first frame, one at a time, and collect it."""
    uuids = [f"GPU-{place}" for place in range(GPUS)]
    header = {
        "run": "r",
        "node": "n",
        "period_s": 1.0,
        "time_s": T0,
        "gpus": [{"uuid": uuid} for uuid in uuids],
    }
    whole = scratch / "whole.spool"
    with SpoolWriter(whole, header) as spool:
        for tick in range(TICKS):
            readings = tuple(
                GpuReading(g, utilisation_percent=50, energy_mj=tick * 1000) for g in range(GPUS)
            )
            spool.append(encode(Tick(T0 + tick, readings)))
    data, tally = whole.read_bytes(), HeaderTally()
    first = next(f for f in read_frames(io.BytesIO(data)) if isinstance(f, Frame))
    with History(scratch / "history.db") as history:

        def uuids_of(run: str) -> list[str]:
            return [gpu["uuid"] for gpu in history.run_gpus(run)]

        for at in range(first.end):
            damaged = bytearray(data)
            damaged[at] ^= 1 << rng.randrange(8)
            folder = scratch / f"r{at}"
            folder.mkdir()
            write_json(folder / "run.json", {"name": "r", "kind": "sample", "began_s": T0})
            (folder / "n.00000000.spool").write_bytes(damaged)
            with suppress(ClusterplanError):
                collect_run(folder, history)
            rows = {uuid: len(list(history.readings(folder.name, uuid))) for uuid in uuids_of(folder.name)}
            tally.flips += 1
            tally.lost += sum(rows.values()) < TICKS * GPUS
            tally.without_gpu += any(uuid not in rows for uuid in uuids)
    return tally
