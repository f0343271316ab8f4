"""One request: what `estimate JOB` prints is what `submit JOB` asks Slurm for, to the letter."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from slurm_cluster import Cluster

from clusterplan.launcher.run_folder.records.checked import check_record
from clusterplan.launcher.submission.request import SlurmRequest

# What the script has besides: how the job is named, started, warned and requeued, and where its output goes.
KEPT_ALIVE = set("array error job-name ntasks-per-node open-mode output requeue signal time-min".split())
JOB = """
name = "request"
[data]
samples = 5_000_000
[training]
batch_size = 8
gpus = {gpus}
[cluster]
{cluster}
{more}
[run]
command = ["env", "{{batch_size}}"]
resume = ["--resume", "{{latest}}"]
"""
KNOWN = "[throughput]\nsamples_per_s_per_gpu = 10"


@pytest.fixture
def here(in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program in an empty folder, on a machine without Slurm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "env").symlink_to(shutil.which("env"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return in_process


def write_job(gpus: Any, cluster: Any, more: Any = KNOWN) -> Any:
    text = JOB.format(gpus=gpus, cluster=cluster, more=more)
    return Path("job.toml").write_text(text, encoding="utf-8")


def printed_options(done: Any) -> list[Any]:
    """The options of `estimate`'s line for Slurm."""
    line = next(line for line in done.stdout.splitlines() if line.startswith("ask Slurm"))
    return [word for word in shlex.split(line) if word.startswith("--")]


def script_options(done: Any) -> list[Any]:
    """The booked ones of the script's #SBATCH lines."""
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    options = [shlex.split(line)[1] for line in lines if line.startswith("#SBATCH ")]
    assert len({name(option) for option in options}) == len(options)
    return [option for option in options if name(option) not in KEPT_ALIVE]


def name(option: Any) -> Any:
    return option.removeprefix("--").partition("=")[0]


@pytest.mark.parametrize(
    ("gpus", "cluster", "more", "options"),
    [
        (4, 'profile = "slurm-a100"', KNOWN, "--nodes=1 --gpus-per-node=a100:4 --time={time}"),
        (32, 'profile = "slurm-a100"', KNOWN, "--nodes=4 --gpus-per-node=a100:8 --time={time}"),
        (16, "", KNOWN, "--nodes=2 --gpus-per-node=8 --time={time}"),
        (2, 'profile = "slurm-a100"', "", "--nodes=1 --gpus-per-node=a100:2"),
        (
            4,
            'profile = "slurm-a100"\npartition = "short"',
            '[slurm]\naccount = "my lab"\ndeadline = "2031-01-01"\nhold = true\nexclusive = false',
            "--partition=short --nodes=1 --gpus-per-node=a100:4 '--account=my lab' --deadline=2031-01-01 --hold",
        ),
    ],
)  # fmt: skip
def test_what_estimate_prints_is_what_submit_asks_for(
    here: Any, gpus: int, cluster: str, more: Any, options: str
) -> None:
    write_job(gpus, cluster, more)
    request = json.loads(here("estimate", "job.toml", "--json").stdout)["request"]
    expected = shlex.split(options.format(time=request["time"]))
    assert request["options"] == expected
    assert printed_options(here("estimate", "job.toml")) == expected
    if request["time"]:
        assert printed_options(here("estimate", "job.toml", "--deadline", "5d")) == expected
    shown = here("submit", "job.toml", "--executor", "slurm", "--dry-run")
    assert sorted(script_options(shown)) == sorted(expected)


def test_the_arithmetic_has_the_same_time(here: Any) -> None:
    write_job(32, 'profile = "slurm-a100"')
    explained = here("estimate", "job.toml", "--explain").stdout
    time = next(option for option in printed_options(here("estimate", "job.toml")) if "--time=" in option)
    assert re.search(rf"^ *{time}: P95", explained, re.MULTILINE)


def test_gpus_that_do_not_divide_are_refused_as_the_estimate_says(here: Any) -> None:
    write_job(9, 'profile = "slurm-a100"')
    estimated = here("estimate", "job.toml")
    assert "--gpus=a100:9" in printed_options(estimated)
    fault = "9 GPUs do not divide over 2 nodes of 8"
    assert f"uneven-nodes         {fault}" in estimated.stdout
    done = here("submit", "job.toml", "--executor", "slurm", "--dry-run")
    assert (done.returncode, fault in done.stderr) == (2, True)


def test_a_time_that_is_asked_for_takes_the_place_of_the_estimates(here: Any) -> None:
    write_job(32, 'profile = "slurm-a100"')
    shown = here("submit", "job.toml", "--executor", "slurm", "--dry-run", "--time", "90s")
    assert "--time=00:02:00" in script_options(shown)


def test_a_request_can_be_read_back_from_its_json() -> None:
    request = SlurmRequest(2, 16, 90, gres="a100", srun=("-v",), further=(("account", "lab"), ("hold", True)))
    assert check_record(SlurmRequest, json.loads(json.dumps(dataclasses.asdict(request)))) == request


def test_the_job_files_own_shortest_time_wins() -> None:
    request = SlurmRequest(1, 1, 90, time_min="01:00:00", further=(("time-min", "02:00:00"),))
    assert "--time-min=02:00:00" in request.options()
    assert "--time-min=01:00:00" not in request.options()


def test_slurm_has_what_the_estimate_printed(
    slurm: Cluster, in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovered = in_process("profiles", "discover").stdout
    (tmp_path / "test.toml").write_text(f'shared_folders = ["/"]\n{discovered}', encoding="utf-8")
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    write_job(4, 'profile = "test.toml"\nnodes = 2', KNOWN + "\n[slurm]\nhold = true\naccount = 'lab'")
    options = dict(
        option[2:].partition("=")[::2] for option in printed_options(in_process("estimate", "job.toml"))
    )
    done = in_process("submit", "job.toml", "--json")
    assert done.returncode == 0, done.stderr
    job = slurm.ask("scontrol", "show", "job", json.loads(done.stdout)["job_id"])
    facts = dict(word.partition("=")[::2] for word in job.split())
    assert (facts["Partition"], facts["NumNodes"]) == ("long", "2-2")
    assert (facts["TimeLimit"], facts["Account"]) == (options["time"], "lab")
    assert (facts["TresPerNode"], facts["Priority"]) == (f"gres:gpu:{options['gpus-per-node']}", "0")


@pytest.mark.usefixtures("slurm")
def test_partition_and_account_of_the_settings_reach_sbatch(clusterplan: Command, tmp_path: Path) -> None:
    settings = tmp_path / "config/clusterplan/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('partition = "preempt"\naccount = "lab"\n', encoding="utf-8")
    script = clusterplan("submit", "--gpus", "1", "--dry-run", "--", "true").stdout
    assert "#SBATCH --partition=preempt" in script
    assert "#SBATCH --account=lab" in script
    assert f"--account=lab, as {settings} says" in " ".join(script.split())
    other = clusterplan("submit", "--partition", "long", "--gpus", "1", "--dry-run", "--", "true").stdout
    assert "#SBATCH --partition=long" in other
