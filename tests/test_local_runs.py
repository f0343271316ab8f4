"""Runs on this machine, without Slurm."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from launched import (
    TRAINS_ON,
    in_one_row,
    job_file,
    runs_over_a_full_disk,
    small_disk,
)

from clusterplan.launcher.command.run_name import name_of_command
from clusterplan.launcher.run_folder.cancel_request import write_cancel_request
from clusterplan.launcher.run_folder.folder import slug


def test_a_run_says_how_its_model_is_split_how_large_it_is_and_where_it_runs(launched: Any) -> None:
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 4\ntensor_parallel = 2\ncontext_parallel = 2\n"
        "zero_stage = 1\n[architecture]\nparameters = 8e9\n[cluster]\nprofile = 'slurm-a100'\n"
        "[run]\nbootstrap = 'single'\ncommand = ['true']\n",
    )
    run = launched.submit("--executor", "local", job)
    shape = json.loads((Path(run["folder"]) / "run.json").read_text())["shape"]
    names = ("model_parallel", "tensor_parallel", "pipeline_parallel", "zero_stage", "parameters", "cluster")
    assert [shape[name] for name in names] == [4, 2, 1, 1, 8_000_000_000, "slurm-a100"]


def test_several_gpus_need_the_torchrun_of_the_commands_own_python(launched: Any) -> None:
    python = launched.folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python.parents[1]], check=True)
    script = launched.file("train.py", "print('trained')\n")
    done = launched("submit", "--executor", "local", "--gpus", "2", "--", python, script)
    assert done.returncode == 2
    assert (
        f"{python} has no torch, and several GPUs of a Python command are started by torchrun" in done.stderr
    )
    assert not (launched.folder / "runs").exists()


def test_a_run_without_a_gpu_is_said_to_have_none(launched: Any) -> None:
    command = ("submit", "--executor", "local", "--gpus", "2", "--", "true")
    assert "2 GPUs wanted, none here: there is no NVIDIA driver" in launched(*command).stderr
    said = launched(*command[:-2], "--force", *command[-2:]).stdout
    assert "no GPU none can be used on this machine: the run is on the CPU " in in_one_row(said)


def test_a_command_that_failed_in_silence_is_told_with_its_code(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sh", "-c", "exit 3")
    said = "exit code 3; the command saved no new checkpoint before it failed"
    assert launched.ended(run["run"])["reason"] == said


def test_a_run_cancelled_as_soon_as_it_is_started_ends(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    assert launched("cancel", run["run"]).returncode == 0
    assert launched.ended(run["run"])["state"] == "cancelled"


@pytest.mark.slow  # a heartbeat is 20 s
def test_a_run_cancelled_from_another_machine_ends(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    write_cancel_request(Path(run["folder"]))
    assert launched.ended(run["run"])["state"] == "cancelled"


def test_the_task_that_failed_has_the_word(launched: Any) -> None:
    rank = "import os, sys, time; r = os.environ['RANK']; r == '1' and sys.exit('rank one is unwell'); time.sleep(60)"
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 2\n"
        f"[run]\nbootstrap = 'per-gpu'\ncommand = {json.dumps(['python', '-c', rank])}\n",
    )
    ended = launched.ended(launched.submit("--executor", "local", job)["run"])
    assert (ended["state"], ended["reason"]) == (
        "failed",
        "rank 1, exit code 1; last line: rank one is unwell",
    )


def test_the_rank_that_failed_first_has_the_word_and_its_log_is_shown(launched: Any) -> None:
    """Red-Hat mini_trainer#60, YOLOX#1249: the others print that a connection was reset, and may end before."""
    script = launched.file(
        "train.py",
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "rank = os.environ['RANK']\n"
        "print(f'rank {rank} start', flush=True)\n"
        "if rank == '2':\n"
        "    Path('unwell').touch()\n"
        "    raise ValueError('rank two is unwell')\n"
        "while not Path('unwell').exists():\n"
        "    time.sleep(0.01)\n"
        "raise RuntimeError('[pair.cc:598] Connection reset by peer [127.0.0.1]:4')\n",
    )
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 4\n"
        f"[run]\nbootstrap = 'per-gpu'\ncommand = ['python', '{script.name}']\n",
    )
    run = launched.submit("--executor", "local", job)["run"]
    ended = launched.ended(run)
    assert (ended["state"], ended["reason"]) == (
        "failed",
        "rank 2, exit code 1: ValueError: rank two is unwell",
    )
    shown = launched("logs", run, "-n", "1")
    assert (shown.returncode, shown.stdout) == (0, "ValueError: rank two is unwell\n")
    assert "the log of rank 2, which failed first" in shown.stderr
    assert launched("logs", run, "--rank", "0").stdout.startswith("rank 0 start\n")
    every = launched("logs", run, "--all").stdout.splitlines()
    assert [f"{rank}: rank {rank} start" in every for rank in range(4)] == [True] * 4
    refused = launched("logs", run, "--all", "-f")
    assert (refused.returncode, refused.stderr.count("--all prints every rank once")) == (2, 1)


def test_a_loop_that_stopped_early_is_no_success_without_a_word(launched: Any) -> None:
    """ROCm/spur#546, Determined#4114: somebody's SIGTERM, and the script exits with 0."""
    script = launched.file(
        "stops.py",
        "import sys\nfrom clusterplan import track\nfor step in track(range(300), total=300):\n    step == 60 and sys.exit(0)\n",
    )
    ended = launched.ended(launched.submit("--executor", "local", "--", "python", script)["run"])
    assert (ended["state"], ended["reason"]) == ("completed", "ended with exit code 0 at step 60 of 300")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py", "train"),
        ("bash finetune.sh", "finetune"),
        ("uv run x.py", "x"),
        ("torchrun --nproc-per-node 2 src/my_run.py --lr 1", "my_run"),
        ("python -m pkg.train", "train"),
        ("bash -c 'module load cuda; python 训练.py; echo done'", "训练"),
        ("sleep 1", "sleep"),
    ],
)
def test_a_run_is_named_after_its_script(command: str, name: str) -> None:
    assert slug(name_of_command(tuple(shlex.split(command)))) == name


def test_a_name_keeps_its_letters(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--name", "训练 über 1", "--", "true")
    assert run["run"].startswith("训练-über-1-2")
    assert launched.ended(run["run"])["state"] == "completed"
    assert launched("status", "训练").stdout.startswith("run ")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed (SIGKILL, exit code 137): often the node's memory ran out"),
        (signal.SIGSEGV, "segmentation fault (SIGSEGV, exit code 139)"),
    ],
)
def test_a_killed_process_has_no_last_words(launched: Any, number: signal.Signals, words: str) -> None:
    run = launched.submit(
        "--executor", "local", "--", "sh", "-c", f"echo rank 3 start; kill -{int(number)} $$"
    )
    reason = launched.ended(run["run"])["reason"]
    assert reason == f"{words}; the command saved no new checkpoint before it failed"


@pytest.mark.slow
def test_restarts_do_not_lengthen_the_time_asked_for(launched: Any) -> None:
    fails = launched.file(
        "fails.py",
        "import pathlib, sys, time\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "time.sleep(0.5)\n"
        "saved = out / f'step_{len(list(out.iterdir())) + 1}'\n"
        "saved.mkdir()\n"
        "(saved / 'model.pt').write_text('weights')\n"
        "sys.exit(1)\n",
    )
    run = launched.submit("--executor", "local", "--time", "9s", "--", "python", fails, "{output}")
    ended = launched.ended(run["run"])
    assert ended["state"] == "timed_out"
    assert ended["attempts"] > 1


def test_the_same_example_runs_here(launched: Any) -> None:
    run = launched.submit("--executor", "local", job_file(launched, steps=20, step_time=0.02, where=""))
    ended = launched.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 20)


def test_a_deepspeed_run_gets_a_config_of_its_own_in_its_precision(launched: Any) -> None:
    launched.file("ds.json", '{"zero_optimization": {"stage": 2}}')
    launched.file("show.py", "import sys; print(open(sys.argv[2]).read())")
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'deepspeed'\nprecision = 'bf16'\n"
        "[run]\ncommand = ['python', 'show.py', '--deepspeed_config', 'ds.json']\n",
    )
    run = launched.submit("--executor", "local", job)
    assert launched.ended(run["run"])["state"] == "completed"
    seen = json.loads(launched("logs", run["run"]).stdout)
    assert (seen["bf16"], seen["zero_optimization"]) == ({"enabled": True}, {"stage": 2})


@pytest.mark.parametrize(("code", "state"), [(0, "completed"), (3, "failed")])
def test_a_disk_that_fills_up_does_not_end_a_run_here(launched: Any, code: int, state: str) -> None:
    with small_disk(launched) as (fill, _):
        script = launched.file("train.py", TRAINS_ON)
        run = launched.submit("--executor", "local", "--", "python", script)
        ended = runs_over_a_full_disk(launched, run, code, fill)
    assert (ended["state"], ended["exit_code"]) == (state, code)


def test_a_run_of_its_own_has_the_folder_of_checkpoints_as_it_was_given(launched: Any) -> None:
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[checkpoint]\nfolder = 'kept'\n"
        "[run]\ncommand = ['echo', '{output}']\n",
    )
    shown = launched("submit", "--executor", "local", "--dry-run", job).stdout
    assert f"echo {shlex.quote(str(launched.folder / 'kept'))}\n" in shown


def test_a_precision_that_the_command_has_is_kept_under_auto(launched: Any) -> None:
    job = launched.file(
        "hf.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'hf'\n"
        "[run]\ncommand = ['python', 'train.py', '--fp16']\n",
    )
    shown = launched("submit", "--executor", "local", "--profile", "slurm-a100", "--dry-run", job).stdout
    assert "CLUSTERPLAN_PRECISION=fp16" in shown


def test_a_dry_run_names_the_port_by_its_rule(launched: Any) -> None:
    launched.file("train.py", "")
    shown = launched(
        "submit", "--executor", "local", "--dry-run", "--gpus", "2", "--", "python", "train.py"
    ).stdout
    assert "--master_port=$MASTER_PORT train.py" in shown
    assert "MASTER_PORT=20000 + crc32(job id) % 12768" in shown


def test_a_local_run_that_is_killed_is_told(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    attempt = next((Path(run["folder"]) / "tasks").glob("*.json"))
    os.kill(json.loads(attempt.read_text())["pid"], signal.SIGKILL)
    assert launched.ended(run["run"])["state"] == "failed"


def test_the_diff_of_the_code_has_a_file_of_its_own(launched: Any) -> None:
    script = launched.file("train.py", "before = 1\n")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=launched.folder, check=True)
    script.write_text("after = 2\n")
    folder = Path(launched.submit("--executor", "local", "--", "true")["folder"])
    assert (folder / "git.diff").read_text().endswith("-before = 1\n+after = 2\n")
    assert "diff" not in json.loads((folder / "run.json").read_text())


def test_a_local_run_is_cancelled(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    assert launched("cancel", run["run"]).returncode == 0
    assert launched.ended(run["run"])["state"] == "cancelled"
