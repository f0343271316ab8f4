"""Several partitions with commas between, and none at all: what is sent, and what is checked.

Cases: mlr-org/batchtools#271, signac-flow#830 (lists); Parsl/libsubmit#66 (a site that routes jobs by QOS).
"""

from pathlib import Path
from typing import Any

import pytest

PROFILE = """
name = "centre"
default_partition = "gpu"
[[partitions]]
name = "gpu"
nodes = 4
gpus_per_node = 8
gpu = "a100-sxm4-80gb"
gres = "a100"
time_limit = "2d"
[[partitions]]
name = "debug"
nodes = 1
gpus_per_node = 4
gpu = "a100-sxm4-80gb"
gres = "a100"
time_limit = "30m"
[[partitions]]
name = "old"
nodes = 2
gpus_per_node = 4
gres = "v100"
"""


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    path = tmp_path / "centre.toml"
    path.write_text(PROFILE, encoding="utf-8")
    return path


def script(in_process: Any, profile: Path, *flags: str) -> str:
    done = in_process(
        "submit", "--executor", "slurm", "--dry-run", "--profile", profile, *flags, "--", "true"
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.mark.usefixtures("without_slurm")
def test_a_list_is_sent_as_it_is(in_process: Any, centre: Path) -> None:
    text = script(in_process, centre, "--partition", "gpu,debug", "--gpus", "4")
    assert "#SBATCH --partition=gpu,debug\n" in text
    assert "#SBATCH --gpus-per-node=a100:4\n" in text


@pytest.mark.usefixtures("without_slurm")
def test_gpus_of_several_types_have_none(in_process: Any, centre: Path) -> None:
    text = script(in_process, centre, "--partition", "gpu,old", "--gpus", "4")
    assert "#SBATCH --gpus-per-node=4\n" in text


@pytest.mark.usefixtures("without_slurm")
def test_no_partition_is_named_unless_one_is_asked_for(in_process: Any, centre: Path) -> None:
    assert "--partition" not in script(in_process, centre, "--gpus", "4")
    assert "#SBATCH --partition=gpu\n" in script(in_process, centre, "--partition", "gpu", "--gpus", "4")


@pytest.mark.usefixtures("without_slurm")
def test_a_partition_that_is_chosen_for_its_gpus_is_named(in_process: Any, centre: Path) -> None:
    assert "#SBATCH --partition=old\n" in script(in_process, centre, "--gpu", "v100", "--gpus", "4")


@pytest.mark.parametrize(
    ("partition", "wrong"),
    [
        ("gpu,nope", "partition 'nope' is not a partition of centre with GPUs: give one of gpu, debug, old"),
        ("gpu,,debug", "partition 'gpu,,debug' has an empty place: write NAME,NAME"),
    ],
)
def test_each_name_of_a_list_is_known(in_process: Any, centre: Path, partition: str, wrong: str) -> None:
    words = ["--executor", "slurm", "--dry-run", "--profile", centre, "--partition", partition, "--", "true"]
    done = in_process("submit", *words)
    assert (done.returncode, done.stderr) == (2, f"Error: {wrong}\n")


def test_the_strictest_limit_of_a_list_is_checked(on_slurm: Any) -> None:
    words = ["--partition", "long,short", "--gpus", "1", "--time"]
    done = on_slurm("submit", *words, "30m", "--", "true")
    assert done.returncode == 2
    assert "a walltime of 30m is above the limit of partition 'short', 2m" in done.stderr
    waits = ("--slurm", "begin=now+1hour")  # a job that has begun has one partition
    run = on_slurm.submit(*words, "2m", *waits, "--", "true")
    assert " Partition=long,short " in on_slurm.slurm.ask(
        "scontrol", "--oneliner", "show", "job", run["job_id"]
    )


def test_the_default_partition_is_left_to_slurm(on_slurm: Any) -> None:
    run = on_slurm.submit("--gpus", "1", "--", "true")
    assert "--partition" not in (next(Path(run["folder"]).glob("submitit/*.sh"))).read_text()
    assert " Partition=long " in on_slurm.slurm.ask("scontrol", "--oneliner", "show", "job", run["job_id"])
