"""A sweep: a run for each combination of values, in one array of Slurm or side by side on this machine."""

import json
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from launched import (
    story,
)
from slurm_cluster import until


@story
def test_a_sweep_is_one_array_with_a_run_each(on_slurm: Any) -> Generator[None, None, None]:
    script = on_slurm.file("lr.py", "import sys; print('lr is', sys.argv[1])")
    done = on_slurm.submit(
        "--gpus", "1", "--sweep", "lr=0.1,0.2,0.3", "--parallel", "2", "--", "python", script, "{lr}"
    )
    yield
    assert [run["job_id"].partition("_")[2] for run in done["runs"]] == ["0", "1", "2"]
    said = []
    for run in done["runs"]:
        assert on_slurm.ended(run["run"])["state"] == "completed"
        said.append(on_slurm("logs", run["run"]).stdout.strip())
    assert said == ["lr is 0.1", "lr is 0.2", "lr is 0.3"]
    assert on_slurm.status(done["runs"][1]["run"])["sweep"] == {"lr": "0.2"}
    listed = on_slurm("status").stdout.splitlines()[1:]
    assert sorted(line.split(maxsplit=5)[5] for line in listed) == ["lr 0.1", "lr 0.2", "lr 0.3"]


@story
def test_a_sweep_is_cancelled_as_one(on_slurm: Any) -> Generator[None, None, None]:
    on_slurm("submit", "--name", "lr", "--gpus", "1", "--sweep", "k=1..3", "--", "sleep", "30{k}")
    assert on_slurm("cancel", "--all", "lr").stdout.count("asked to stop") == 3
    yield
    for run in json.loads(on_slurm("status", "--json", "lr").stdout)["runs"]:
        assert on_slurm.ended(run["run"])["state"] == "cancelled"


@story
def test_a_sweep_that_scancel_ends_before_it_began_is_cancelled(on_slurm: Any) -> Generator[None, None, None]:
    """squeue then shows the array as one job: only elements that began, or were changed, have records of their own."""
    done = on_slurm.submit("--gpus", "1", "--slurm", "hold=true", "--sweep", "k=1..3", "--", "true", "{k}")
    job = done["runs"][0]["job_id"].partition("_")[0]
    subprocess.run(["scancel", job], check=True, timeout=60)
    states = [on_slurm.ended(run["run"])["state"] for run in done["runs"]]
    yield  # Slurm forgets it soon
    assert states == ["cancelled"] * 3


@story
def test_each_run_of_a_sweep_is_told_its_own_end(on_slurm: Any) -> Generator[None, None, None]:
    on_slurm("submit", "--gpus", "1", "--sweep", "k=1,2", "--", "sleep", "30{k}")
    runs = json.loads(on_slurm("status", "--json").stdout)["runs"]
    for run in runs:
        on_slurm.wait(run["run"], "running")
        attempts = Path(run["folder"]) / "tasks"
        told = until(
            lambda where=attempts: [
                values
                for path in where.glob("*.json")
                if (values := json.loads(path.read_text()))["state"] == "running"
            ],
            "the attempt",
        )
        os.kill(told[0]["pid"], signal.SIGKILL)
    yield
    ended = [on_slurm.ended(run["run"]) for run in runs]
    assert [(run["state"], run["exit_code"]) for run in ended] == [("failed", 137)] * 2


def test_runs_of_a_sweep_resume_from_their_own_checkpoints_alone(launched: Any) -> None:
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[checkpoint]\nfolder = 'kept'\n"
        """[run]\ncommand = ['sh', '-c', 'echo w > "$0/step_$1"', '{output}', '{seed}']\n""",
    )
    runs = [run["run"] for run in launched.submit("--executor", "local", job, "--sweep", "seed=3..4")["runs"]]
    assert [launched.ended(run)["state"] for run in runs] == ["completed"] * 2
    elsewhere = [json.loads(launched("status", "--json", run, cwd="/").stdout)["runs"][0] for run in runs]
    assert [run["steps_done"] for run in elsewhere] == [3, 4]
    assert sorted(path.name for path in (launched.folder / "kept").iterdir()) == sorted(runs)


@pytest.mark.parametrize(("said", "at_once"), [([], 300), (["--parallel", "2"], 2)])
def test_a_sweep_is_limited_only_as_asked(without_slurm: Any, said: list[Any], at_once: int) -> None:
    sweep = ["--sweep", "seed=1..300", *said, "--", "env", "{seed}"]
    shown = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "1", *sweep).stdout
    assert f"#SBATCH --array=0-299%{at_once}\n" in shown
