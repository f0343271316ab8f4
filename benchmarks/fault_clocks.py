"""Whether a clock that steps costs rows, or makes lengths that cannot be.

Each run is sampled on a fake GPU while its machine's clock is stepped: a library in front of libc's shifts the wall clock
of every process of the run (benchmarks/clock_shift.c), and the monotonic clocks go on.  Each row that the sampler wrote
must be in the history, and each length must be right within 1 % and two periods, or unknown.
"""

import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import fake_nvml
from fault_world import CLUSTERPLAN, world_environment

from clusterplan.launcher.sampler.spool import Frame, read_frames
from clusterplan.launcher.sampler.spool_items import is_tick

PERIOD_S = 0.1
SCENARIO = "gpu count=2\nwave gpu=* kind=const hi=90\n"
STEPS: Mapping[str, Sequence[float]] = {
    "none": (0.0,),
    "from 1970, put right": (0.0,),
    "to 1970": (-1.79e9,),
    "+3 h": (10_800.0,),
    "-3 h": (-10_800.0,),
    "+1 s": (1.0,),
    "-1 s": (-1.0,),
    "back and forth": (-10_800.0, 0.0),
    "NTP slew of 0.5 ms/s": tuple(n * 5e-5 for n in range(1, 200)),
}
LENGTHS_S = (3.0, 6.0, 12.0)
AT_ONCE = 4


@dataclass
class ClockTally:
    """Runs, the rows of their spools, and what of them was not as it should."""

    runs: int = 0
    rows: int = 0
    lost: int = 0
    lengths: int = 0
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class _Run:
    step: str
    length_s: float
    folder: Path
    shift: Path
    began_s: float  # by the monotonic clock, as the next
    process: "subprocess.Popen[str]"
    ended_s: float = 0.0


def _write_shift(path: Path, seconds: float) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:  # in place: the page is mapped
        file.write(struct.pack("d", seconds))


def build_shift(folder: Path) -> Path | None:
    """Build the library; None without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "libclock_shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lm"], check=True)
    return library


def run_clocks(
    scratch: Path, rng: random.Random, lengths_s: Sequence[float] = LENGTHS_S
) -> ClockTally | None:
    """Sample a run per step and length; None without a C compiler."""
    library, driver = build_shift(scratch), fake_nvml.build(scratch)
    if library is None or driver is None:
        return None
    scenario = scratch / "scenario"
    scenario.write_text(SCENARIO, encoding="utf-8")
    cases = [(step, length_s) for step in STEPS for length_s in lengths_s]
    rng.shuffle(cases)
    tally = ClockTally()
    for begin in range(0, len(cases), AT_ONCE):
        runs = [
            _start(
                scratch / f"run{begin + n}",
                step,
                length_s,
                library,
                {"LD_LIBRARY_PATH": driver, "FAKE_NVML": scenario},
            )
            for n, (step, length_s) in enumerate(cases[begin : begin + AT_ONCE])
        ]
        _step_clocks(runs)
        for run in runs:
            _judge(run, tally)
    return tally


def _start(folder: Path, step: str, length_s: float, library: Path, more: Mapping[str, Path]) -> _Run:
    folder.mkdir()
    shift = folder / "shift"
    _write_shift(shift, -1.79e9 if step.startswith("from 1970") else 0.0)
    environment = {**world_environment(folder), **{k: str(v) for k, v in more.items()}}
    environment |= {"LD_PRELOAD": str(library), "FAKE_CLOCK": str(shift)}
    training = f"import time; b = time.monotonic(); time.sleep({length_s}); print(time.monotonic() - b)"
    command = [
        CLUSTERPLAN,
        "sample",
        "--name",
        "net",
        "--period",
        f"{PERIOD_S}s",
        "--",
        sys.executable,
        "-c",
        training,
    ]
    began_s = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return _Run(step, length_s, folder, shift, began_s, process)


def _step_clocks(runs: Sequence[_Run]) -> None:
    """Step the clock of each run at a third of its length after its first readings."""
    plans = {}
    while any(run.process.poll() is None for run in runs):
        for place, run in enumerate(runs):
            if run.process.poll() is not None:
                run.ended_s = run.ended_s or time.monotonic()
            began = next(run.folder.glob("runs/*/*.spool"), None)
            if place not in plans and began is not None:
                steps = STEPS[run.step]
                gap_s = run.length_s / 3 / len(steps)
                plans[place] = [
                    (time.monotonic() + run.length_s / 3 + n * gap_s, shift) for n, shift in enumerate(steps)
                ]
            while plans.get(place) and plans[place][0][0] <= time.monotonic():
                _write_shift(run.shift, plans[place].pop(0)[1])
        time.sleep(0.01)


def _rows_of_spools(folder: Path) -> Iterator[int]:
    for path in folder.glob("*.spool"):
        for piece in read_frames(io.BytesIO(path.read_bytes())):
            if isinstance(piece, Frame) and is_tick(piece.payload):
                yield piece.payload[9]  # readings of the tick


def _judge(run: _Run, tally: ClockTally) -> None:
    """Compare what commands say with what the training took by the monotonic clock, and the rows with the spool's."""
    out, _ = run.process.communicate()
    folder = next(run.folder.glob("runs/*"))
    environment = world_environment(run.folder)  # on a machine whose clock is right

    def call(*words: str) -> str:
        done = subprocess.run(
            [CLUSTERPLAN, *words],
            env=environment,
            cwd=run.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tally.wrong.append(f"{run.step}, {run.length_s:g} s: {' '.join(words)}: {done.stderr}")
        return done.stdout

    report = json.loads(call("report", folder.name, "--json"))
    rows = len(call("history", "export", folder.name, "--jsonl").splitlines())
    most_s = (run.ended_s or time.monotonic()) - run.began_s  # with the start and the end of the command
    took_s, written = float(out.split()[-1]), sum(_rows_of_spools(folder))
    tally.runs += 1
    tally.rows += written
    tally.lost += max(written - rows, 0)
    hours = report["gpu_hours"]
    lengths = {"duration_s": report["duration_s"], "gpu_hours": None if hours is None else hours * 3600 / 2}
    for name, length_s in lengths.items():
        tally.lengths += 1
        if length_s is None:
            tally.unknown += 1
        elif not 0.99 * took_s - 2 * PERIOD_S <= length_s <= 1.01 * most_s:
            tally.wrong.append(
                f"{run.step}: {name} is {length_s:.2f} s, and it took {took_s:.2f} to {most_s:.2f} s"
            )
