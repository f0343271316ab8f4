"""A batch script given to `submit`: its lines for sbatch are taken, and what cannot be is named or refused."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clusterplan import submit
from clusterplan.api.submit import read_job_to_submit
from clusterplan.errors import InputError

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


PLAIN = (
    "torchrun --nproc_per_node 4 train.py --per_device_train_batch_size 8 --output_dir out --save_steps 50\n"
)


@pytest.fixture
def dry_run(in_process: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    return lambda *words: in_process("submit", *words[:1], "--executor", "local", "--dry-run", *words[1:])


def test_a_script_without_lines_for_sbatch_is_taken_as_well(dry_run: Run, folder: Path) -> None:
    (folder / "plain.sh").write_text(PLAIN)
    done = dry_run("plain.sh", "--batch-size", "16", "--gpus", "2")
    assert done.returncode == 0, done.stderr
    taken = "plain.sh: taken: training batch_size 16, gpus 2, epochs 3, framework hf"
    assert done.stderr.startswith(taken)
    assert "--nproc_per_node=2" in done.stdout
    assert "train.py --per_device_train_batch_size 16" in done.stdout
    assert "once there is a checkpoint: --resume_from_checkpoint '{latest}'" in done.stdout


# https://github.com/NVIDIA/Megatron-LM examples/gpt3/train_gpt3_175b_distributed.sh
MEGATRON = """#!/bin/bash
#SBATCH --nodes=1 --gres=gpu:8
CHECKPOINTS=$1
DISTRIBUTED_ARGS=(--nproc_per_node 8 --nnodes 1 --master_addr localhost --master_port 6000)
MODEL_ARGS=(--num-layers 96 --hidden-size 12288 --num-attention-heads 96 --seq-length 2048)
TRAINING_ARGS=(--micro-batch-size 1 --global-batch-size 32 --train-iters 500000 --fp16)
torchrun ${DISTRIBUTED_ARGS[@]} pretrain_gpt.py ${MODEL_ARGS[@]} ${TRAINING_ARGS[@]} --tensor-model-parallel-size 4 \\
    --save-interval 10000 --save $CHECKPOINTS --load $CHECKPOINTS
"""


def test_a_script_of_megatron_is_submitted(dry_run: Run, folder: Path) -> None:
    (folder / "gpt3.sh").write_text(MEGATRON)
    (folder / "pretrain_gpt.py").write_text("")
    alone = dry_run("gpt3.sh")
    assert "--save $1: only the run knows this folder: checkpoints go to the run's own" in alone.stderr
    done = dry_run("--batch-size=2", "--", "bash", "gpt3.sh", "ckpt")
    assert done.returncode == 0, done.stderr
    assert (
        "training batch_size 2, gpus 8, global_batch 32, max_steps 500_000, framework megatron" in done.stderr
    )
    command = "--nproc_per_node=8 --node_rank=0 '--master_addr=$FIRST_NODE' --master_port=$MASTER_PORT pretrain_gpt.py"
    assert command in done.stdout
    assert "--micro-batch-size 2 --global-batch-size 32 --train-iters 500000" in done.stdout
    assert f"--save {folder / 'ckpt'} --load {folder / 'ckpt'}" in done.stdout


def test_a_script_that_states_no_gpus_gets_one_and_says_so(dry_run: Run, folder: Path) -> None:
    (folder / "plain.sh").write_text(PLAIN.replace("torchrun --nproc_per_node 4", "deepspeed"))
    done = dry_run("plain.sh")
    assert (
        "plain.sh: nothing states how many GPUs there are, so the run has one: give --gpus for more"
        in done.stderr
    )
    assert "task 0: deepspeed" in done.stdout


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("python train.py\n", ""),  # there is nothing to take
        ("./train\n", ""),
        (
            f"for s in 1 2; do {PLAIN.strip()} --seed $s; done\n",
            "plain.sh runs as it is: plain.sh line 1: it is started for",
        ),
        (PLAIN.replace("8", "$1"), "plain.sh runs as it is: plain.sh line 1: $1 has no value here"),
        ("accelerate launch --config_file a.yaml t.py\n", "a.yaml: is no YAML"),
    ],
)
def test_a_script_that_cannot_be_taken_apart_runs_as_it_is(
    dry_run: Run, folder: Path, script: str, words: str
) -> None:
    (folder / "plain.sh").write_text(script)
    (folder / "a.yaml").write_text("a: [")
    done = dry_run("plain.sh")
    assert "task 0: bash plain.sh" in done.stdout
    assert "taken" not in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    ("line", "task"),
    [
        # the share of data whose size is not known, and epochs of a run that states its steps
        (
            "torchrun --nproc_per_node 2 t.py --stage sft --template x --dataset a --val_size 0.1 --output_dir o",
            "t.py --stage sft",
        ),
        (
            "composer -n 2 t.py max_duration=10ba global_train_batch_size=8 save_folder=o",
            "composer -n 2 t.py max_duration=10ba",
        ),
        (
            "python -m torch.distributed.launch --nproc_per_node=2 t.py --launcher pytorch",
            "t.py --launcher pytorch",
        ),
    ],
)
def test_what_depends_on_a_size_that_is_not_known_stops_no_run(
    dry_run: Run, folder: Path, line: str, task: str
) -> None:
    (folder / "plain.sh").write_text(f"{line}\n")
    done = dry_run("plain.sh")
    assert done.returncode == 0, done.stderr
    assert task in done.stdout
    assert "taken: " in done.stderr
    assert "gpus 2" in done.stderr


def test_a_script_whose_gpus_do_not_fit_runs_as_it_is(dry_run: Run, folder: Path) -> None:
    """https://github.com/NVIDIA/Megatron-LM examples/bert/train_bert_340m_distributed.sh: 8 GPUs for a shape of 128."""
    line = "torchrun --nproc_per_node 8 t.py --micro-batch-size 4 --seq-length 9 --train-iters 9 --tensor-model-parallel-size 128\n"
    (folder / "plain.sh").write_text(line)
    assert (
        "plain.sh runs as it is: 8 GPUs are no multiple of tensor parallel 128" in dry_run("plain.sh").stderr
    )


def test_options_behind_a_script_are_its_own(dry_run: Run, folder: Path) -> None:
    """https://github.com/huggingface/pytorch-image-models distributed_train.sh."""
    (folder / "timm.sh").write_text('N=$1\nshift\ntorchrun --nproc-per-node=$N train.py "$@"\n')
    done = dry_run("--name=x", "--", "timm.sh", "2", "--model", "resnet50")
    assert "train.py --model resnet50" in done.stdout
    assert (
        "put -- before the command: clusterplan submit"
        in dry_run("timm.sh", "2", "--model", "resnet50").stderr
    )


def test_a_script_behind_a_shell_is_a_command_like_any_other(dry_run: Run, folder: Path) -> None:
    (folder / "plain.sh").write_text(PLAIN)
    assert "task 0: bash plain.sh" in dry_run("--name=x", "--", "bash", "plain.sh").stdout


def test_python_takes_scripts_as_the_command_line_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    head = "#SBATCH -J phi -t 2\n"
    script = write(folder, "export GREETING=hello", "python3 train.py --seed $1", head=head)
    job = read_job_to_submit(Path(script), ["7"], {"gpus": 1}, {})
    assert job.workload.run
    assert job.workload.run.command == ("env", "GREETING=hello", "python3", "train.py", "--seed", "7")
    assert (job.workload.name, job.walltime_s, job.needs_gpus) == ("phi", 120, True)
    assert job.remarks[0].startswith("run.sh: taken: training gpus 1")
    script = write(folder, "python3 train.py", head="#SBATCH --array=0-3 --gres=gpu:1\n")
    with pytest.raises(InputError, match="--array=0-3 makes several runs"):
        submit(script, executor="local")


def answer(words: list[str], dialogue: list[tuple[str, str]], cwd: Path) -> tuple[int, str]:
    """Run clusterplan on a terminal, and type each answer once its question is on the screen."""
    main, side = pty.openpty()
    program = Path(sys.executable).with_name("clusterplan")
    with subprocess.Popen([program, *words], stdin=side, stdout=side, stderr=side, cwd=cwd) as process:
        os.close(side)
        screen, waiting = "", list(dialogue)
        with contextlib.suppress(OSError):  # the terminal is closed as the program ends
            while text := os.read(main, 4096):
                screen += text.decode()
                if waiting and waiting[0][0] in screen:
                    question, typed = waiting.pop(0)
                    screen = screen.partition(question)[2]
                    os.write(main, f"{typed}\n".encode())
    os.close(main)
    assert not waiting, f"never asked: {waiting}"
    return process.returncode, screen


def test_init_asks_on_a_terminal_what_only_a_person_knows(folder: Path) -> None:
    (folder / "plain.sh").write_text(
        PLAIN.replace("torchrun --nproc_per_node 4", "CUDA_VISIBLE_DEVICES=0,1 deepspeed")
    )
    dialogue = [
        ("data.samples: samples per epoch", "665_298"),
        ("training.gpus: only plain.sh line 1: CUDA_VISIBLE_DEVICES=0,1 hints at the GPUs", ""),
    ]
    code, screen = answer(["init", "plain.sh"], dialogue, folder)
    assert code == 0
    assert "wrote job.toml. Next:" in screen
    job = tomllib.loads((folder / "job.toml").read_text())
    assert (job["data"]["samples"], job["training"]["gpus"]) == (
        665_298,
        2,
    )  # an empty answer takes the proposal


def test_an_answer_may_be_left_for_later(folder: Path) -> None:
    (folder / "plain.sh").write_text(PLAIN)
    code, screen = answer(["init", "plain.sh"], [("data.samples", "")], folder)
    assert code == 0
    assert "fill in the lines that begin with FILL IN" in screen
    assert "# FILL IN samples:" in (folder / "job.toml").read_text()


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
