"""`submit` without a whole job file: options of [slurm] and [run] as flags, and a file of these two tables alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clusterplan.api.submit import read_job_with_command, run_tables
from clusterplan.errors import InputError

# The habit of HPC centres' scripts: only account, memory, CPUs and a constraint are added to a command.
SITE_ONLY = """
[run]
command = ["python", "-c", "pass"]
[slurm]
account = "lab"
mem = "64G"
"""


@pytest.fixture
def site_only(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE_ONLY, encoding="utf-8")
    return path


def dry_run(clusterplan: Any, *words: Any) -> list[str]:
    done = clusterplan("submit", "--executor", "slurm", "--dry-run", *words)
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


def test_run_and_slurm_alone_make_a_job_file(clusterplan: Any, site_only: Path) -> None:
    script = dry_run(clusterplan, site_only)
    assert {"#SBATCH --account=lab", "#SBATCH --mem=64G", "#SBATCH --gpus-per-node=1"} <= set(script)


def test_a_file_without_a_size_is_run(clusterplan: Any, site_only: Path) -> None:
    done = clusterplan("submit", "--executor", "local", "--json", site_only)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"].startswith("python-")


def test_flags_stand_on_top_of_the_tables(clusterplan: Any, site_only: Path) -> None:
    flags = ["--slurm", "account=other", "--slurm", "exclusive", "--slurm", "mem=false", "--gpus", "4"]
    script = dry_run(clusterplan, site_only, *flags)
    assert {"#SBATCH --account=other", "#SBATCH --exclusive", "#SBATCH --gpus-per-node=4"} <= set(script)
    assert not [line for line in script if "--mem" in line]


def test_a_command_may_come_after_a_file_that_has_none(clusterplan: Any, tmp_path: Path) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text('[slurm]\naccount = "lab"\n', encoding="utf-8")
    script = dry_run(clusterplan, path, "--", "env", "x")
    assert "#SBATCH --account=lab" in script
    assert "task 0: env x" in script


def test_bootstrap_and_the_arguments_to_resume_with_are_flags(clusterplan: Any) -> None:
    words = ["--gpus", "2", "--bootstrap", "per-gpu", "--resume-args", "--from '{latest}'"]
    script = dry_run(clusterplan, *words, "--", "python", "-c", "pass")
    assert "#SBATCH --ntasks-per-node=2" in script
    assert "and once there is a checkpoint: --from '{latest}'" in script


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("gres=gpu:2", "--slurm: gres is set by clusterplan: use training.gpus and cluster.gpu"),
        ("array=0-3", "--slurm: array is set by clusterplan: use --sweep"),  # facebookresearch/hydra#1366
        (
            "container-image=x.sqsh",
            "--slurm: container-image would start clusterplan itself in the image: use run.container or --container",
        ),
        (
            "gpus-per-task=1",
            "--slurm: gpus-per-task is set by clusterplan: use training.gpus or --gpus; with bootstrap per-gpu each GPU has a task, which takes the GPU number LOCAL_RANK",
        ),
        (
            "export=NONE",
            "--slurm: export is set by clusterplan: leave it out: the environment of `submit` is the job's; run it as `env NAME=VALUE clusterplan submit`",
        ),
        (
            "cpus_per_task=2",
            "--slurm: 'cpus_per_task' is not an option of sbatch: write its long name, such as cpus-per-task",
        ),
    ],
)
def test_an_option_that_is_set_otherwise_is_refused_with_the_way(
    in_process: Any, option: str, advice: str
) -> None:
    done = in_process("submit", "--executor", "slurm", "--dry-run", "--slurm", option, "--", "true")
    assert done.returncode == 2
    assert done.stderr == f"Error: {advice}\n"


def test_python_takes_the_same_options(site_only: Path) -> None:
    tables = run_tables({"account": "other"}, "single", ["--resume", "{latest}"])
    workload, is_sized = read_job_with_command(site_only, (), {}, tables)
    assert not is_sized
    assert dict(workload.slurm) == {"account": "other", "mem": "64G"}
    assert workload.run is not None
    assert (workload.run.bootstrap, workload.run.resume) == ("single", ("--resume", "{latest}"))


def test_arguments_with_an_open_quote_are_refused() -> None:
    with pytest.raises(InputError, match=r"--resume-args: .* No closing quotation"):
        run_tables({}, resume_args="--from 'x")


def test_a_submission_loads_what_it_needs_alone(tmp_path: Path) -> None:
    """The start of the program is most of a submission: no estimate of a job of unknown size, no event loop, no queue."""
    program = (
        "import sys\nfrom clusterplan.cli import main\n"
        "try:\n    main(['submit', '--executor', 'slurm', '--dry-run', '--gpus', '1', '--', 'true'])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": str(tmp_path), "CLUSTERPLAN_RUNS": str(tmp_path / "runs")},
    )
    loaded = set(done.stderr.split())
    assert {"submitit", "pydantic"} <= loaded
    spared = {
        "asyncio",
        "numpy",
        "clusterplan.estimator.estimate.estimate",
        "clusterplan.estimator.queue.state",
    }
    assert loaded & spared == set()
