"""The files of the world of benchmarks/faults.py that no command writes there: inputs, readings of GPUs, rare states."""

import json
import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGS = Path(__file__).parent.parent / "tests" / "logs"
TICKS, FEW_TICKS = 700, 60  # more than a block of the history, and less

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


def write_inputs(folder: Path) -> None:
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


def add_spool(folder: Path, role: str) -> None:
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


def add_framework_files(output: Path) -> None:
    shutil.copy(LOGS / "trainer_state.json", output / "trainer_state.json")
    shutil.copytree(LOGS / "tensorboard", output / "tensorboard")


def add_seldom_files(folder: Path, run: str) -> None:
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


def forget_end(folder: Path) -> None:
    """Leave the folder as it is when the machine went off."""
    (folder / "status.json").unlink()
    for path in (folder / "tasks").glob("*.json"):
        ended = {"state": "running", "outcome": None, "ended_s": None, "exit_code": None}
        path.write_text(json.dumps(json.loads(path.read_text()) | ended))


def pretend_slurm(folder: Path) -> None:
    """Make it a run of a Slurm that is not here, and that is still open."""
    forget_end(folder)
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
