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
