"""A task of a job as it runs on its node, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slurm_cluster import until

from clusterplan.estimator.job.framework import Bootstrap
from clusterplan.launcher.node.after_attempt import decide_after_attempt
from clusterplan.launcher.node.context import TaskContext
from clusterplan.launcher.node.ranks import read_task
from clusterplan.launcher.node.stop.signals import StopSignals
from clusterplan.launcher.node.stop.slurm_reason import SlurmdLog
from clusterplan.launcher.run_folder.launch import Launch
from clusterplan.launcher.run_folder.task_file import TaskFile
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.runs.progress.run_progress import read_run_progress
from clusterplan.launcher.runs.state import RunState, State

GUARD = """
import os, sys
from pathlib import Path
from clusterplan.launcher.node.task import run_task
sys.exit(run_task(Path(sys.argv[1]), os.environ, lambda folder, job: None))
"""
ENDED_S = 20


LAUNCH = Launch(
    command=("train",),
    resume=(),
    cwd="/",
    environment={},
    bootstrap=Bootstrap.SINGLE,
    nodes=2,
    gpus=2,
    output=None,
    stop_signal="SIGTERM",
    grace_s=1,
    max_restarts=0,
)


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """Start the task `rank` of two of a command on two nodes; gives its process and its file."""
    processes = []

    def start(command: list[str], rank: int, cwd: Path = tmp_path) -> tuple[subprocess.Popen[bytes], Path]:
        replace(LAUNCH, command=tuple(command), cwd=str(cwd), one_task=command[0] == "mpirun").write(tmp_path)
        (tmp_path / "logs").mkdir()
        place = {"SLURM_JOB_ID": "7", "SLURM_PROCID": str(rank), "SLURM_NTASKS": "2", "SLURM_LOCALID": "1"}
        processes.append(subprocess.Popen([sys.executable, "-c", GUARD, tmp_path], env=os.environ | place))
        return processes[-1], tmp_path / "tasks" / f"7.0.{rank}.json"

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_task_that_is_left_to_the_first_waits_for_its_file_alone(
    task: Callable[..., tuple[subprocess.Popen[bytes], Path]], tmp_path: Path
) -> None:
    waiting, own = task(["mpirun", "train"], rank=1)
    until(lambda: own.exists() and json.loads(own.read_text())["state"] == "running", "a start", ENDED_S)
    (tmp_path / "launch.json").unlink()  # that would be read again and again by every node
    first = json.loads(own.read_text()) | {"rank": 0, "outcome": "completed"}
    own.with_name("7.0.0.json").write_text(json.dumps(first))
    assert waiting.wait(ENDED_S) == 0


@pytest.mark.parametrize(
    ("command", "folder", "error"),
    [
        ("true", "gone", "{}/gone: No such file or directory"),
        ("./no-first-line", ".", "./no-first-line: Exec format error"),
    ],
)
def test_a_command_that_cannot_be_started_says_what_is_missing(
    task: Callable[..., tuple[subprocess.Popen[bytes], Path]],
    tmp_path: Path,
    command: str,
    folder: str,
    error: str,
) -> None:
    (tmp_path / "no-first-line").write_text("true")
    (tmp_path / "no-first-line").chmod(0o755)
    process, own = task([command], rank=0, cwd=tmp_path / folder)
    assert process.wait(ENDED_S) == 127
    assert json.loads(own.read_text())["error"] == error.format(tmp_path)


def test_how_far_a_run_is_does_not_wait_for_the_first_task(tmp_path: Path) -> None:
    second = TaskRecord("7", 0, 1, 2, "n2", "n2", 1, "1", began_s=1.0, beat_s=1.0)
    assert read_run_progress(tmp_path, {}, LAUNCH, [second], RunState(State.RUNNING, "", 1.0), None) is None


def test_the_first_start_uses_up_no_restart_whichever_task_fails(tmp_path: Path) -> None:
    first = TaskRecord("7", 0, 0, 2, "n", "n", 1, "1", began_s=1.0, beat_s=1.0, saved_step=50)
    TaskFile(tmp_path, first)
    second = TaskFile(tmp_path, replace(first, rank=1, failed_rank=1, outcome="failed", exit_code=1))
    launch = replace(LAUNCH, max_restarts=1)
    place = read_task({"SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"})
    log = SlurmdLog(tmp_path, "7")
    decision = decide_after_attempt(TaskContext(tmp_path, launch, place, second, StopSignals(), log))
    assert (decision.restart, decision.reason) == (
        True,
        "rank 1: the command failed, after a new checkpoint at step 50",
    )
