"""A batch script given to `submit`: its lines for sbatch are taken, and what cannot be is named or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("import os, sys\nprint(os.environ.get('GREETING'), sys.argv[1:])\n")
    return tmp_path


def write(folder: Path, *lines: str, head: str = "#SBATCH --gres=gpu:1\n") -> str:
    (folder / "run.sh").write_text(f"#!/bin/bash\n{head}" + "\n".join(lines) + "\n")
    return "run.sh"


def test_what_is_taken_is_said(clusterplan: Run, folder: Path) -> None:
    head = "#SBATCH -J phi -N 1 --gres=gpu:1 -t 2:00 -A lab -o %j.out\n"
    script = write(folder, "export GREETING=hello", "python train.py --lr 1", head=head)
    done = clusterplan("submit", script, "--executor", "local", "--dry-run", cwd=folder)
    assert done.returncode == 0
    taken, left_out, *_ = done.stderr.splitlines()
    assert taken.startswith("run.sh: taken: training gpus 1")
    assert taken.endswith("slurm account lab; time 00:02:00")
    assert (
        left_out
        == "run.sh line 2: --output=%j.out is not taken: the logs are in the run's folder: clusterplan logs RUN"
    )
    assert "task 0: env GREETING=hello python train.py --lr 1" in done.stdout


def test_bash_before_a_batch_script_does_not_hide_its_lines(clusterplan: Run, folder: Path) -> None:
    script = write(folder, "python train.py")
    done = clusterplan("submit", "--executor", "local", "--dry-run", "--", "bash", script, cwd=folder)
    assert "run.sh: taken: training gpus 1" in done.stderr


def test_arguments_of_the_script_are_put_in(clusterplan: Run, folder: Path) -> None:
    script = write(folder, 'python train.py --seed $1 "${@:2}"')
    done = clusterplan("submit", "--executor", "local", "--dry-run", script, "7", cwd=folder)
    assert "task 0: " in done.stdout
    assert "python train.py --seed 7" in done.stdout


@pytest.mark.parametrize(
    ("head", "line", "words"),
    [
        ("#SBATCH --array=0-3 --gres=gpu:1\n", "python train.py", "--array=0-3 makes several runs"),
        ("#SBATCH -N 1\n", "deepspeed train.py", "nothing states how many GPUs there are"),
        ("#SBATCH --gres=gpu:4\n", "torchrun --nproc_per_node 8 train.py", "--gres=gpu:4 makes 4 GPUs"),
        ("#SBATCH --gres=gpu:1\n", "python train.py --seed $1", "$1 has no value here"),
        (
            "#SBATCH --gres=gpu:1\n",
            "for s in 1 2; do python train.py $s; done",
            "it is started for each s in 1 2",
        ),
        ("#SBATCH --gres=gpu:1\n", "echo nothing", "starts no training that is recognised"),
        ("#SBATCH --nodes=$N\n", "python train.py", "no shell reads #SBATCH lines"),
        ("#SBATCH --tim=5\n", "python train.py", "sbatch refuses it"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(
    clusterplan: Run, folder: Path, head: str, line: str, words: str
) -> None:
    done = clusterplan(
        "submit", write(folder, line, head=head), "--executor", "local", "--dry-run", cwd=folder
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_flag_stands_in_place_of_what_the_script_says(clusterplan: Run, folder: Path) -> None:
    script = write(folder, "deepspeed train.py", head="#SBATCH -J a\n")
    done = clusterplan(
        "submit", script, "--gpus", "2", "--name", "b", "--executor", "local", "--dry-run", cwd=folder
    )
    assert done.returncode == 0
    assert "training gpus 2" in done.stderr
    assert "task 0: deepspeed train.py" in done.stdout


def test_numerics_are_left_as_the_script_has_them(clusterplan: Run, folder: Path) -> None:
    script = write(folder, "python train.py --num_train_epochs 1 --output_dir out")
    done = clusterplan("submit", script, "--gpu", "h100-sxm", "--executor", "local", "--dry-run", cwd=folder)
    assert "task 0: python train.py --num_train_epochs 1 --output_dir" in done.stdout
    assert not any("--bf16" in line for line in done.stdout.splitlines() if "task 0" in line)


def test_a_script_without_lines_for_sbatch_runs_as_it_is(clusterplan: Run, folder: Path) -> None:
    (folder / "plain.sh").write_text("python train.py\n")
    done = clusterplan("submit", "plain.sh", "--executor", "local", "--dry-run", cwd=folder)
    assert "task 0: bash plain.sh" in done.stdout
    assert "taken" not in done.stderr


def test_a_batch_script_runs_to_its_end(clusterplan: Run, folder: Path) -> None:
    script = write(folder, 'export GREETING="hello you"', "python3 train.py --lr 1", head="#SBATCH -J phi\n")
    done = clusterplan(
        "submit", script, "--gpus", "1", "--executor", "local", "--follow", "--force", cwd=folder
    )
    assert "hello you ['--lr', '1']" in done.stdout


def test_json_stays_clean(clusterplan: Run, folder: Path) -> None:
    script = write(folder, "python3 train.py")
    done = clusterplan("submit", script, "--executor", "local", "--json", "--force", cwd=folder)
    assert json.loads(done.stdout)["run"].startswith("run-")
