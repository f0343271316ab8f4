"""Scripts as people have them, on the test Slurm: taken, warned of their limit, gone on with, completed."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from launched import ENDED_S, running_job, story
from moe_llava import MOE_LLAVA, write_repository, write_stand_ins
from slurm_cluster import until


@story
def test_a_script_of_moe_llava_is_warned_goes_on_and_completes(on_slurm: Any) -> Generator[None, None, None]:
    (stage,) = (stage for stage in MOE_LLAVA if stage.script == "scripts/v1/phi2/finetune_moe.sh")
    clone, programs = on_slurm.folder / "MoE-LLaVA", on_slurm.folder / "bin"
    clone.mkdir()
    write_stand_ins(write_repository(clone, stage), programs)
    path = f"{programs}{os.pathsep}{on_slurm.environment['PATH']}"
    on_slurm.environment |= {"PATH": path, "STEPS": "60", "STEP_TIME": "0.1"}
    read = on_slurm("init", stage.script, "--samples", stage.samples, "--gpus", 2, cwd=clone)
    assert read.returncode == 0, read.stderr
    job = clone / "job.toml"
    job.write_text(job.read_text().replace("every_steps = 24_000", "every_steps = 10"))
    run = on_slurm.submit(job, cwd=clone)
    output = clone / "checkpoints" / stage.output
    until((output / "checkpoint-20").is_dir, "a checkpoint", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    until(lambda: running_job(run, 1), "the next start", ENDED_S)
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"]) == ("completed", 2), ended["reason"]
    printed = on_slurm("logs", run["run"], "--all").stdout
    assert "goes on from 0" in printed
    assert "trained 60 steps" in printed
    assert (output / "checkpoint-60").is_dir()


# What `deepspeed --no_ssh` does on its node: https://github.com/deepspeedai/DeepSpeed deepspeed/launcher/runner.py.
DEEPSPEED = """#!/usr/bin/env python3
import argparse, os, socket, subprocess, sys
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("--node_rank", "--master_addr", "--master_port", "--hostfile"):
    parser.add_argument(name, required=True)
parser.add_argument("--no_ssh", action="store_true", required=True)
options, command = parser.parse_known_args()
hosts = [line.split() for line in open(options.hostfile)]
slots = int(hosts[int(options.node_rank)][1].partition("=")[2])
world = sum(int(slot.partition("=")[2]) for _, slot in hosts)
for local in range(slots):
    rank = int(options.node_rank) * slots + local
    environment = {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": options.master_addr}
    subprocess.run([sys.executable, command[0], f"--local_rank={local}", *command[1:]], env=os.environ | environment, check=True)
"""
OWN_LOOP = """
import os, sys
print("trains", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], "at", os.environ["MASTER_ADDR"], sys.argv[1:], flush=True)
"""


@story
def test_deepspeed_of_a_loop_of_its_own_trains_on_two_nodes(on_slurm: Any) -> Generator[None, None, None]:
    """https://github.com/microsoft/DeepSpeedExamples applications/DeepSpeed-Chat, multi_node/run_66b.sh: it reads --local_rank."""
    programs = on_slurm.folder / "bin"
    programs.mkdir()
    (programs / "deepspeed").write_text(DEEPSPEED)
    (programs / "deepspeed").chmod(0o755)
    on_slurm.environment["PATH"] = f"{programs}{os.pathsep}{on_slurm.environment['PATH']}"
    on_slurm.file("main.py", OWN_LOOP)
    line = "deepspeed --num_gpus 8 main.py --per_device_train_batch_size 4 --num_train_epochs 2 --zero_stage 3 --deepspeed\n"
    on_slurm.file("run_66b.sh", line)
    read = on_slurm("init", "run_66b.sh", "--samples", 64, "--gpus", 4, "--nodes", 2)
    assert read.returncode == 0, read.stderr
    run = on_slurm.submit("job.toml", "--force")  # the nodes of the test Slurm share /tmp
    yield
    ended = on_slurm.ended(run["run"])
    assert ended["state"] == "completed", ended["reason"]
    printed = on_slurm("logs", run["run"], "--all").stdout
    for rank in range(4):
        assert f"trains {rank} of 4 at " in printed
    assert "['--local_rank=1', '--per_device_train_batch_size', '4'" in printed


@story
def test_the_lines_for_sbatch_of_a_script_reach_the_job(on_slurm: Any) -> Generator[None, None, None]:
    on_slurm.file("train.py", "import os\nprint('said', os.environ['GREETING'], flush=True)\n")
    lines = "#!/bin/bash\n#SBATCH -J greets --gres=gpu:1 -t 5\nexport GREETING=hello\npython train.py\n"
    on_slurm.file("run.sh", lines)
    run = on_slurm.submit("run.sh")
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert Path(run["folder"]).name.startswith("greets-")
    assert "said hello" in on_slurm("logs", run["run"]).stdout
