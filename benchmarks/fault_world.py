"""The world that benchmarks/faults.py damages: runs of each kind, their history, settings, and files to enter."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.launcher.run_folder.folder import register_run
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

CLUSTERPLAN = str(Path(sys.executable).with_name("clusterplan"))
LOGS = Path(__file__).parent.parent / "tests" / "logs"
TICKS, FEW_TICKS = 700, 60  # more than a block of the history, and less
READY_S = 60

TRAIN = """
import json, pathlib, sys, time
from clusterplan import track
out, steps, code = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
for step in track(range(steps)):
    if step % 10 == 9:
        print(json.dumps({"loss": 2.0 / (step + 1), "learning_rate": 1e-4, "epoch": step / steps}), flush=True)
    if step % 20 == 19:
        save = out / f"checkpoint-{step + 1}"
        save.mkdir(exist_ok=True)
        (save / "model.safetensors").write_bytes(bytes(100))
    time.sleep(0.002)
if code:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")
"""
JOB = """
name = "{name}"
model = "phi2"
[data]
samples = 640
[training]
batch_size = 8
gpus = 2
framework = "floor"
precision = "bf16"
[run]
command = ["python", "{train}", "{{output}}", "{{max_steps}}", "{code}"]
bootstrap = "single"
resume = ["--resume", "{{latest}}"]
max_restarts = 0
"""
CSV = """model,gpu,gpus,batch_size,samples_per_s,accumulation,precision,seq_len
phi2,h100-sxm,8,32,44.3,1,bf16,2048
phi2,a100-sxm4-80gb,16,16,51,2,bf16,2048
qwen,h200,8,4,12.5,1,bf16,4096
"""
CONFIG = 'profile = "slurm-a100"\naccount = "lab"\n'
SBATCH = """#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --time=12:00:00
export MASTER_PORT=29500
srun torchrun --nproc_per_node 4 --nnodes $SLURM_NNODES train.py --batch-size 8 --epochs 3 --data /data/train.jsonl
"""


@dataclass(frozen=True)
class World:
    """A folder with everything in it; `run_ids` are the runs by the role that they play."""

    folder: Path
    run_ids: Mapping[str, str]

    @property
    def history(self) -> Path:
        return self.folder / "history.db"

    @property
    def submitted(self) -> set[str]:
        """The runs that `status` shows."""
        return {run for role, run in self.run_ids.items() if role not in ("sampled", "measured")}

    @property
    def environment(self) -> dict[str, str]:
        return world_environment(self.folder)

    def run_folder(self, role: str) -> Path:
        return self.folder / "runs" / self.run_ids[role]

    def files_of(self, role: str) -> list[Path]:
        """Every file of a run, in an order that does not hang on what is random in names."""
        files = (path for path in self.run_folder(role).rglob("*") if path.is_file())
        return sorted(files, key=lambda path: (path.parent.name, path.suffix, path.stat().st_size, path.name))

    def others(self, role: str | None) -> Iterator[str]:
        return (run for name, run in self.run_ids.items() if name != role)


def world_environment(folder: Path) -> dict[str, str]:
    """A user who has nothing but this folder, and no Slurm."""
    return {
        "PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CONFIG_DIRS": str(folder / "site"),
        "CLUSTERPLAN_HISTORY": str(folder / "history.db"),
        "CLUSTERPLAN_RUNS": str(folder / "runs"),
        "CLUSTERPLAN_LOCKS": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }


def call_program(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run the program in a process; return what it prints."""
    done = subprocess.run(
        [CLUSTERPLAN, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"clusterplan {' '.join(words)}: {done.stderr}")
    return done.stdout


def build_world(
    folder: Path, run: Callable[[Sequence[str], Path, Mapping[str, str]], str] = call_program
) -> World:
    """Run trainings through clusterplan: one that completes, that fails, that is sampled, that is lost, that is on Slurm."""
    (folder / "bin").mkdir(parents=True)
    for name in ("env", "sh", "git", "true"):
        if program := shutil.which(name):
            (folder / "bin" / name).symlink_to(program)
    environment = world_environment(folder)

    def call(*words: str) -> str:
        return run(words, folder, environment)

    _write_inputs(folder)
    ids = {
        role: json.loads(call("submit", "--executor", "local", "--force", "--json", f"{role}.toml"))["run"]
        for role in ("whole", "failed")
    }
    world = World(folder, ids)
    for role in ids:
        _wait_for(world.run_folder(role) / "status.json")
    ids |= {role: _copy_run(world.run_folder("whole"), role, world.history) for role in ("lost", "slurm")}
    call("sample", "--name", "sampled", "--", "true")
    call("history", "add", "--csv", "measured.csv")
    others = [path.name for path in (folder / "runs").iterdir() if path.name not in ids.values()]
    ids |= {name.partition("-")[0]: name for name in sorted(others)}
    for role in ("whole", "failed", "lost", "slurm", "sampled"):
        _add_spool(world.run_folder(role), role)
    _add_framework_files(world.run_folder("whole") / "output")
    for role in ("whole", "slurm"):
        _add_seldom_files(world.run_folder(role), world.run_ids[role])
    _forget_end(world.run_folder("lost"))
    _pretend_slurm(world.run_folder("slurm"))
    call("history", "import")
    return world


def _write_inputs(folder: Path) -> None:
    (folder / "train.py").write_text(TRAIN)
    for name, code in (("whole", 0), ("failed", 1)):
        (folder / f"{name}.toml").write_text(JOB.format(name=name, code=code, train=folder / "train.py"))
    (folder / "measured.csv").write_text(CSV)
    (folder / "job.sbatch").write_text(SBATCH)
    (folder / "config" / "clusterplan").mkdir(parents=True)
    (folder / "config" / "clusterplan" / "config.toml").write_text(CONFIG)
    (folder / "logs").mkdir()
    for path in sorted(LOGS.iterdir()):
        if path.is_file() and path.suffix != ".md":
            shutil.copy(path, folder / "logs" / path.name)
    shutil.copytree(LOGS / "tensorboard", folder / "logs" / "tensorboard")


def _wait_for(path: Path) -> None:
    end_s = time.monotonic() + READY_S
    while not path.exists():
        if time.monotonic() > end_s:
            sys.exit(f"{path}: the run did not end in {READY_S} s")
        time.sleep(0.1)


def _copy_run(folder: Path, role: str, history: Path) -> str:
    """Make another run of the same files."""
    copy = folder.with_name(folder.name.replace("whole", role))
    shutil.copytree(folder, copy)
    facts = json.loads((copy / "run.json").read_text()) | {"run": copy.name, "name": role}
    (copy / "run.json").write_text(json.dumps(facts))
    register_run(copy, history)
    return copy.name


def _add_spool(folder: Path, role: str) -> None:
    """Add what a sampler would have written on a node with two GPUs."""
    rng = random.Random(role)
    gpus = [
        {
            "uuid": f"GPU-{role}-{place}",
            "index": str(place),
            "name": "NVIDIA H200",
            "memory_bytes": 150_754_820_096,
            "power_limit_w": 700.0,
            "compute_capability": "9.0",
            "mig_parent": None,
            "ring_depth": 120,
        }
        for place in range(2)
    ]
    began_s = json.loads((folder / "run.json").read_text())["began_s"]
    header = {
        "run": folder.name,
        "node": "n1",
        "period_s": 1.0,
        "time_s": began_s,
        "driver": "570.1",
        "attribution": "uuid",
    }
    energy_mj = 10**9
    ticks = TICKS if role == "whole" else FEW_TICKS
    with SpoolWriter(folder / "n1.0000abcd.spool", {**header, "gpus": gpus}) as spool:
        for second in range(ticks):
            energy_mj += rng.randrange(100_000, 600_000)
            readings = tuple(
                GpuReading(
                    place,
                    utilisation_percent=rng.randrange(101),
                    memory_used_bytes=60 << 30,
                    power_mw=rng.randrange(100_000, 600_000),
                    temperature_c=60,
                    energy_mj=energy_mj,
                    ring=((0.8, 50), (0.4, 70)),
                )
                for place in range(2)
            )
            spool.append(encode(Tick(began_s + second, readings)))
        spool.append(encode(Event(began_s + ticks, "gap", "3 ticks late", 1)))


def _add_framework_files(output: Path) -> None:
    shutil.copy(LOGS / "trainer_state.json", output / "trainer_state.json")
    shutil.copytree(LOGS / "tensorboard", output / "tensorboard")


def _add_seldom_files(folder: Path, run: str) -> None:
    """Add what only some runs have: those of a stage, that were resumed, that waited in the queue."""
    now_s = time.time()
    stage = {"share": "1 %", "before": None, "check": {"max_step_s": 6.7, "min_loss_fall": 0.02}}
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8")) | {"stage": stage}
    files: Mapping[str, Mapping[str, object]] = {
        "run.json": facts,
        "check.json": {
            "passed": True,
            "findings": [{"name": "loss", "passed": True, "text": "loss fell by 3 %"}],
        },
        "resume.1.json": {
            "number": 1,
            "time_s": now_s,
            "host": "n1",
            "pid": 1,
            "birth": "1",
            "jobs": ["4710"],
            "step": 20,
            "checkpoint": str(folder / "output" / "checkpoint-20"),
            "run": run,
            "job": "4711",
        },
        "start_forecast.json": {
            "made_s": now_s,
            "wait_p10_s": 10.0,
            "wait_p50_s": 60.0,
            "wait_p90_s": 600.0,
            "by_limits_s": 900.0,
            "before": 3,
            "basis": "usage",
            "reason": None,
        },
        "left_out.jsonl": {"path": str(folder / "output" / "checkpoint-40"), "changed_s": now_s},
        "released.jsonl": {"job": "4711", "time_s": now_s},
    }
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values) + "\n", encoding="utf-8")


def _forget_end(folder: Path) -> None:
    """Leave the folder as it is when the machine went off."""
    (folder / "status.json").unlink()
    for path in (folder / "tasks").glob("*.json"):
        ended = {"state": "running", "outcome": None, "ended_s": None, "exit_code": None}
        path.write_text(json.dumps(json.loads(path.read_text()) | ended))


def _pretend_slurm(folder: Path) -> None:
    """Make it a run of a Slurm that is not here, and that is still open."""
    _forget_end(folder)
    (folder / "jobs.jsonl").write_text(
        json.dumps({"executor": "slurm", "job": "4711", "submitted_s": time.time(), "cluster": "alpha"})
        + "\n"
    )
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"executor": "slurm", "sweep": {"lr": "1e-4"}}))
    for path in list((folder / "tasks").glob("*.json")):
        values = json.loads(path.read_text()) | {"job": "4711", "host": "n1", "node": "n1"}
        path.unlink()
        (folder / "tasks" / "4711.0.0.json").write_text(json.dumps(values))
    (folder / "cancel.json").write_text(json.dumps({"time_s": time.time(), "reason": None}))


def restore(base: Path, folder: Path) -> None:
    """Put a copy of the world that is at `base` at `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        sys.exit(f"{folder}: cannot be removed: {sorted(folder.iterdir())}")
    shutil.copytree(base, folder, symlinks=True)
