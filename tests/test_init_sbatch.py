"""The `#SBATCH` lines of a script: read as sbatch reads them, each taken, asked about or named."""

import pytest

from clusterplan.errors import InputError
from clusterplan.launcher.recipes.batch_machines import BatchShape
from clusterplan.launcher.recipes.batch_request import read_batch_request
from clusterplan.launcher.recipes.recipe import Recipe
from clusterplan.launcher.recipes.shell.sbatch_lines import list_lines_not_read, read_sbatch_lines


def options(*lines: str) -> list[str]:
    return [option.text for option in read_sbatch_lines("\n".join(("#!/bin/bash", *lines, "srun hostname")))]


def request(*lines: str) -> tuple[Recipe, BatchShape]:
    return read_batch_request(read_sbatch_lines("\n".join(lines) + "\n"), "run.sh")


def settings(*lines: str) -> dict[str, object]:
    return {key: setting.value for key, setting in request(*lines)[0].settings.items()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#SBATCH -N2", ["--nodes=2"]),
        ("#SBATCH --nodes 2", ["--nodes=2"]),
        ("#SBATCH\t-N 2 --gres=gpu:a100:4   # the whole node", ["--nodes=2", "--gres=gpu:a100:4"]),
        ("#SBATCH--nodes=2", ["--nodes=2"]),
        ("#SBATCH -J 'phi 2' \\", ["--job-name=phi 2"]),
        ("#SBATCH --err=log --reserv hug", ["--error=log", "--reservation=hug"]),
        ("#SBATCH --tasks-per-node=1", ["--ntasks-per-node=1"]),
        ("#SBATCH --exclusive", ["--exclusive"]),
        ("#SBATCH -Hp gpu", ["--hold", "--partition=gpu"]),
        ("##SBATCH -N 2", []),
        ("# SBATCH -N 2", []),
        (" #SBATCH -N 2", []),
        ("#sbatch -N 2", []),
        ("set -e\n#SBATCH -N 2", []),
    ],
)
def test_a_line_is_read_as_sbatch_reads_it(line: str, expected: list[str]) -> None:
    assert options(line) == expected  # tried on Slurm 22.05


def test_the_last_of_two_counts_and_gres_add_up() -> None:
    lines = ("#SBATCH -N 1 --gres=gpu:2", "#SBATCH --nodes=3", "#SBATCH --gres=lscratch:50")
    assert options(*lines) == ["--nodes=3", "--gres=gpu:2,lscratch:50"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#SBATCH --node=2", "may mean --nodefile, --nodelist, --nodes"),
        ("#SBATCH --tim=5", "may mean --time, --time-min"),
        ("#SBATCH --gpus-on-node=2", "line 2: --gpus-on-node is no option of sbatch"),
        ("#SBATCH -J 'x", "a quote that is not closed"),
        ("#SBATCH hetjob", "heterogeneous"),
        ("#SBATCH -t", "--time has no value"),
    ],
)
def test_what_sbatch_refuses_is_refused_with_its_line(line: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        options(line)
    assert words in str(error.value)


def test_lines_that_sbatch_does_not_read_are_named() -> None:
    text = "##SBATCH -p gpu\n#SBATCH -N 1\n#PBS -l nodes=3\npython train.py\n#SBATCH -t 5\n"
    assert [remark.split(":")[0] for remark in list_lines_not_read(text)] == ["line 1", "line 3", "line 5"]


@pytest.mark.parametrize(
    ("line", "gpus", "gpu"),
    [
        ("#SBATCH -N 2 --gres=gpu:a100:4", 8, "a100"),
        ("#SBATCH --gres=gpu", 1, None),
        ("#SBATCH --gres=gpu:4,lscratch:50 -N 3", 12, None),
        ("#SBATCH --gpus-per-node=nvidia_h100_80gb_hbm3:8 --nodes=4", 32, "nvidia_h100_80gb_hbm3"),
        ("#SBATCH -G a100:7 -N 2", 7, "a100"),
        ("#SBATCH --gpus-per-task=2 --ntasks=8", 16, None),
        ("#SBATCH --gpus-per-task=1 --ntasks-per-node=4 -N 2", 8, None),
        ("#SBATCH --ntasks-per-gpu=2 -n 8", 4, None),
        ("#SBATCH -n 16 --ntasks-per-node=8 --gres=gpu:8", 16, None),
        ("#SBATCH -N 1", None, None),
    ],
)
def test_gpus_of_the_whole_job(line: str, gpus: int | None, gpu: str | None) -> None:
    recipe, _ = request(line)
    assert (recipe.value("training.gpus"), recipe.value("cluster.gpu")) == (gpus, gpu)


def test_the_head_of_a_job_on_mahti() -> None:
    """CSCfi/llm-fine-tuning-examples, run-finetuning-mahti-gpu8.sh at 42dd769."""
    recipe, shape = request(
        "#SBATCH --account=project_2001659",
        "#SBATCH --partition=gpumedium",
        "#SBATCH --nodes=2 --tasks-per-node=1 --cpus-per-task=128",
        "#SBATCH --time=0:15:00",
        "#SBATCH --gres=gpu:a100:4",
    )
    assert {key: setting.value for key, setting in recipe.settings.items()} == {
        "slurm.account": "project_2001659",
        "cluster.partition": "gpumedium",
        "cluster.nodes": 2,
        "training.gpus": 8,
        "cluster.gpu": "a100",
        "slurm.cpus-per-task": 128,
    }
    assert (shape.nodes, shape.gpus_per_node, shape.tasks_per_node, shape.walltime) == (2, 4, 1, "0:15:00")
    assert recipe.settings["training.gpus"].source == "run.sh line 5: --gres=gpu:a100:4 --nodes=2"


def test_options_keep_their_long_names_in_slurm() -> None:
    assert settings("#SBATCH -A lab --mem=0 --exclusive --hint=nomultithread -C 'gpu&hbm80g' -q 00") == {
        "slurm.account": "lab",
        "slurm.mem": 0,
        "slurm.exclusive": True,
        "slurm.hint": "nomultithread",
        "slurm.constraint": "gpu&hbm80g",
        "slurm.qos": "00",
    }


def test_signals_requeues_and_containers_say_how_the_run_is_run() -> None:
    lines = "#SBATCH --signal=B:USR1@120 --no-requeue --container-image=a.sqsh"
    assert settings(lines) == {
        "run.stop_signal": "SIGUSR1",
        "run.max_restarts": 0,
        "run.container": "a.sqsh",
    }


def test_options_of_pyxis_become_the_image_and_its_mounts() -> None:
    lines = "#SBATCH --container-image=a.sqsh --container-mounts=/data,/a:/b --no-container-mount-home"
    assert settings(lines) == {"run.container": "a.sqsh", "run.container_mounts": ("/data", "/a:/b")}
    (remark,) = request(lines)[0].remarks
    assert "--no-container-mount-home is not taken" in remark


@pytest.mark.parametrize(
    ("line", "key"),
    [("#SBATCH --array=0-15%4", "run.runs"), ("#SBATCH --nodes=2-4", "cluster.nodes")],
)
def test_what_the_job_depends_on_is_asked(line: str, key: str) -> None:
    assert [question.key for question in request(line)[0].questions] == [key]


@pytest.mark.parametrize(
    "option",
    [
        "--output=%x-%j.out",
        "-e err",
        "-D /data",
        "-d afterok:12",
        "--requeue",
        "--gres=lscratch:50",
        "--uid=5",
        "-w gpu1",
    ],
)
def test_no_option_is_ignored_without_a_word(option: str) -> None:
    recipe, _ = request(f"#SBATCH {option}")
    assert len(recipe.remarks) == 1
    assert recipe.remarks[0].startswith("run.sh line 1: --")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#SBATCH --time=24h", "write minutes, H:MM:SS or D-HH:MM:SS"),
        ("#SBATCH --nodes=$N", "no shell reads #SBATCH lines"),
        ("#SBATCH --nodes=two", "is no number of nodes"),
    ],
)
def test_values_that_sbatch_refuses_are_refused(line: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        request(line)
    assert words in str(error.value)
