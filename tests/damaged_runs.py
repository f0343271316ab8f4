"""Run folders made by code, and what can be wrong with a file of one."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterplan.estimator.gpu_use.reading import GpuReading, Tick
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_new_text
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

T0 = 1_763_900_000.0
STEPS = 30
SHAPE = {
    "model": "phi2",
    "gpu": "h100-sxm",
    "nodes": 1,
    "gpus": 2,
    "gpus_per_node": 2,
    "batch_size": 8,
    "accumulation": 1,
    "precision": "bf16",
    "seq_len": None,
}
_RANGE = {"p10": 0.4, "p50": 0.5, "p90": 0.6, "p95": 0.7}


def documents(folder: Path) -> Mapping[str, Any]:
    """The JSON files of a run, by name."""
    task = TaskRecord("7", 0, 0, 1, "n1", "n1", 11, "1", T0, T0 + 50, resume_step=None, saved_step=20)
    return {
        "launch.json": {
            "command": ["python", "train.py"],
            "resume": ["--resume", "{latest}"],
            "cwd": str(folder),
            "environment": {},
            "bootstrap": "single",
            "nodes": 1,
            "gpus": 2,
            "output": str(folder / "output"),
            "stop_signal": "SIGTERM",
            "grace_s": 60.0,
            "max_restarts": 0,
            "local_gpus": [],
        },
        "request.json": {"nodes": 1, "gpus": 2, "signal_delay_s": 90, "time": "01:00:00", "further": []},
        "estimate.json": {
            "source": {"kind": "given", "text": "given", "runs": 0},
            "step_time_s": _RANGE,
            "wall_clock_s": _RANGE,
            "wall_clock_parts_s": {"startup": _RANGE},
            "interval_steps": {"evaluation": None},
            "steps": {"samples": 16},
            "request": {"time": "01:00:00"},
        },
        "job.json": {"run": {"command": ["python", "train.py"]}, "training": {"batch_size": 8, "gpus": 2}},
        "start_forecast.json": {"made_s": T0, "basis": "usage", "wait_p50_s": 10.0, "by_limits_s": 20.0},
        "tasks/7.0.0.json": {**asdict(task), "outcome": "completed", "exit_code": 0, "ended_s": T0 + 60},
        "resume.1.json": {
            "number": 1,
            "time_s": T0,
            "host": "n1",
            "pid": 1,
            "birth": "1",
            "jobs": [],
            "job": "7",
        },
        "status.json": {"state": "completed", "exit_code": 0, "ended_s": T0 + 60, "job": "7", "error": None},
    }


def make_run(root: Path, history: Path, name: str, number: int = 0, **facts: Any) -> Path:
    """Make a run of this machine that has ended, with every file that a run may have."""
    known = {
        "kind": "submit",
        "executor": "local",
        "model": "phi2",
        "command": ["python", "train.py"],
        "cwd": str(root),
        "began_s": T0 + number,
        "steps": STEPS,
        "sweep": None,
        "shape": SHAPE,
        "git": {"commit": "abc", "dirty": False},
        "environment": {},
        "packages": ["torch==2.9"],
        "host": "n1",
    }
    folder = create_run_folder(name, root, datetime.fromtimestamp(T0 + number, UTC), {**known, **facts})
    for inner in ("tasks", "submitit", "logs", "output"):
        (folder / inner).mkdir()
    for file, values in documents(folder).items():
        write_new_text(folder / file, json.dumps(values))
    line = {"executor": "local", "job": "7", "submitted_s": T0, "cluster": None}
    write_new_text(folder / "jobs.jsonl", json.dumps(line) + "\n")
    write_new_text(folder / "progress.jsonl", "".join(f"{json.dumps(line)}\n" for line in loop()))
    write_new_text(folder / "logs" / "0.log", "step 1\n")
    register_run(folder, history)
    return folder


def loop() -> list[dict[str, Any]]:
    """The lines of a loop of half a second per step."""
    start = {"kind": "start", "time_s": T0, "step": 0, "total": STEPS, "attempt": "7.0"}
    steps = [
        {
            "kind": "steps",
            "time_s": T0 + (step + 1) / 2,
            "step": step + 1,
            "steps": 1,
            "seconds": 0.5,
            "longest_s": 0.5,
            "loss": 1 / (step + 1),
        }
        for step in range(STEPS)
    ]
    return [start, *steps]


def add_spool(folder: Path, seconds: int = 20) -> None:
    """Add what a sampler read of one GPU."""
    gpu = {
        "uuid": f"GPU-{folder.name}",
        "index": 0,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 80 << 30,
    }
    header = {
        "format": 1,
        "node": "n1",
        "time_s": T0,
        "period_s": 1.0,
        "driver": "570",
        "attribution": "uuid",
        "gpus": [gpu],
    }
    with SpoolWriter(folder / "n1.00000000.spool", header) as spool:
        for second in range(seconds):
            spool.append(encode(Tick(T0 + second, (GpuReading(0, utilisation_percent=90),))))


def _text(content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content

    def damage(path: Path) -> None:
        path.unlink()
        path.write_bytes(data)

    return damage


def _link(target: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


def _in_place(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 << 30)


# Each kind leaves nothing of the file's own content.
DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "empty": _text(""),
    "zero": _text("0\n"),
    "list": _text("[]\n"),
    "text": _text('"words"\n'),
    "null": _text("null\n"),
    "torn": _text('{"run": "x", \n'),
    "NaN": _text("NaN\n"),
    "huge number": _text("9" * 5000 + "\n"),
    "deep": _text("[" * 100_000 + "\n"),
    "deep objects": _text('{"a":' * 100_000 + "\n"),
    "not UTF-8": _text(b"\xff\xfe{}\n"),
    "NULs": _text(bytes(1000) + b"\n"),
    "folder": _in_place(Path.mkdir),
    "FIFO": _in_place(os.mkfifo),
    "device": _link("/dev/zero"),
    "loop": lambda path: _link(path.name)(path),
    "10 GB": _in_place(_sparse),
}


def change(values: Mapping[str, Any]) -> Callable[[Path], None]:
    """Return the damage that gives the keys of a JSON file these values; those of a file of lines in each line."""

    def damage(path: Path) -> None:
        text = path.read_text()
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        path.unlink()
        path.write_text("".join(f"{json.dumps({**json.loads(line), **values})}\n" for line in lines))

    return damage


WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    10**30,
    1e300,
    float("inf"),
    float("nan"),
    "words",
    [],
    {},
    [[]],
    "\ud800",
    "\0",
)
