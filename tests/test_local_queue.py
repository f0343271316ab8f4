"""Runs on this machine lend its GPUs to one another: the fake driver's two, real processes, real locks."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_nvml as fake
import pytest
from conftest import Command
from launched import Launched
from slurm_cluster import until

from clusterplan.launcher.run_folder.task_records import process_birth

ENDED_S = 60

# Says when it began, on which GPUs, and, once it is told to, when it ended.
PROGRAM = """
import json, os, pathlib, sys, time
mine, told = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
said = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "began": time.time(), "pid": os.getpid()}
mine.write_text(json.dumps(said))
while not told.exists():
    time.sleep(0.02)
mine.with_suffix(".end").write_text(json.dumps(said | {"ended": time.time()}))
"""


class Queue(Launched):
    """Runs here, each of which waits for a word of the test before it ends."""

    def start(self, name: str, gpus: int, *options: str) -> str:
        words = [
            "sh",
            "-c",
            'exec python "$0" "$@"',
            self.folder / "program.py",
            self.folder / f"{name}.json",
            self.folder / "end",
        ]
        options = ("--bootstrap", "single", *options)
        return str(self.submit("--executor", "local", "--gpus", gpus, *options, "--", *words)["run"])

    def let_them_end(self) -> None:
        self.file("end", "")

    def told(self, name: str, suffix: str = ".json") -> Any:
        path = self.folder / f"{name}{suffix}"
        return until(
            lambda: path.exists() and path.read_text() and json.loads(path.read_text()), name, ENDED_S
        )

    def pending(self, run: str) -> dict[str, Any]:
        said = self.wait(run, "pending", "running", "failed")
        return (
            until(lambda: (s := self.status(run))["reason"] != "starting" and s, "a state", ENDED_S) or said
        )


@pytest.fixture
def queue(clusterplan: Command, fake_nvml: Path, tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path, clusterplan)
    queue.file("program.py", PROGRAM)  # once: a run may be reading it
    scenario = queue.file("scenario", "gpu count=2 mem_used=0\n")
    queue.environment |= {
        "LD_LIBRARY_PATH": str(fake_nvml),
        "FAKE_NVML": str(scenario),
        "FAKE_NVML_T0": str(fake.T0),
    }
    queue.environment.pop("CUDA_VISIBLE_DEVICES", None)
    yield queue
    queue.let_them_end()


def test_the_receipt_says_how_many_of_the_gpus_are_lent(queue: Queue) -> None:
    said = queue("submit", "--executor", "local", "--gpus", "1", "--", "true").stdout
    assert "1 GPU " in said
    assert "of 2 on this machine\n" in said


def test_two_runs_never_share_a_gpu(queue: Queue) -> None:
    runs = [queue.start(name, 1) for name in "abcd"]
    until(lambda: len(list(queue.folder.glob("?.json"))) == 2, "two of them to run", ENDED_S)
    queue.let_them_end()
    assert {queue.ended(run)["state"] for run in runs} == {"completed"}
    told = sorted((queue.told(name, ".end") for name in "abcd"), key=lambda t: t["began"])
    assert all(t["gpus"].startswith("GPU-") for t in told)
    assert len({t["gpus"] for t in told}) == 2
    for i, one in enumerate(told):
        for later in told[i + 1 :]:
            assert one["gpus"] != later["gpus"] or one["ended"] <= later["began"]


@pytest.mark.slow
def test_a_run_of_two_gpus_waits_for_both_and_then_runs(queue: Queue) -> None:
    first = queue.start("first", 1)
    queue.told("first")
    second = queue.start("second", 2)
    said = queue.pending(second)
    assert (said["state"], said["reason"]) == ("pending", "waiting for GPUs of this machine")
    third = queue.start("third", 1)  # one GPU is free, but it is not its turn
    assert queue.pending(third)["state"] == "pending"
    queue.let_them_end()
    assert [queue.ended(run)["state"] for run in (first, second, third)] == ["completed"] * 3
    assert len(queue.told("second")["gpus"].split(",")) == 2
    assert queue.told("second")["began"] <= queue.told("third")["began"]


def test_a_killed_run_frees_its_gpus_at_once_and_its_command_ends(queue: Queue) -> None:
    killed = queue.start("killed", 2)
    command = queue.told("killed")["pid"]
    waiting = queue.start("waiting", 2)
    assert queue.pending(waiting)["state"] == "pending"
    task = json.loads(next((queue.folder / "runs" / killed / "tasks").glob("*.json")).read_text())
    os.kill(task["pid"], signal.SIGKILL)
    queue.told("waiting")
    assert not process_birth(command)
    assert queue.status(killed)["state"] == "failed"


@pytest.mark.slow
def test_shells_with_other_temporary_folders_share_one_queue(queue: Queue) -> None:
    queue.start("first", 2)
    queue.told("first")
    queue.environment["TMPDIR"] = str(queue.folder)
    assert queue.pending(queue.start("second", 1))["reason"] == "waiting for GPUs of this machine"


# Starts a process that a signal to its group does not reach, and that has no file of its parent's open.
LEAVES = """
import os, pathlib, subprocess, sys
left = subprocess.Popen(["sleep", "300"], start_new_session=True)
pathlib.Path("left.json").write_text(str(left.pid))
os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("sleep 300 & echo $! > left.json", "completed"),
        pytest.param("python leaves.py 0", "completed", marks=pytest.mark.slow),
        pytest.param(
            "python leaves.py 9", "failed", marks=pytest.mark.slow
        ),  # as torchrun, which its workers outlive
    ],
)
def test_what_a_command_leaves_behind_ends_with_its_run(queue: Queue, command: str, state: str) -> None:
    queue.file("leaves.py", LEAVES)
    words = ("--gpus", "2", "--bootstrap", "single", "--", "sh", "-c", command)
    run = queue.submit("--executor", "local", *words)["run"]
    left = queue.told("left")
    queue.start("next", 2)
    queue.told("next")
    assert not process_birth(left)
    assert queue.status(run)["state"] == state


def test_a_run_cancelled_while_it_waits_never_starts(queue: Queue) -> None:
    queue.start("holds", 2)
    queue.told("holds")
    waiting = queue.start("waiting", 1)
    assert queue.pending(waiting)["state"] == "pending"
    assert queue("cancel", waiting).returncode == 0
    ended = queue.ended(waiting)
    assert (ended["state"], ended["reason"]) == ("cancelled", "before it began")
    assert not (queue.folder / "waiting.json").exists()


def test_the_time_asked_for_is_said_in_words_of_this_machine(queue: Queue) -> None:
    done = queue("submit", "--executor", "local", "--time", "6s", "--", "true")
    assert "told to save and end 5 s before its 6s are over" in done.stdout
    assert "warned" not in done.stdout
    assert "Slurm" not in done.stderr


def test_the_time_asked_for_ends_a_run_here(queue: Queue) -> None:
    run = queue.start("limited", 1, "--time", "6s")
    ended = queue.ended(run)
    assert (ended["state"], ended["reason"]) == ("timed_out", "the requested time is over")


def test_the_status_of_a_running_run_says_what_stands_out(queue: Queue) -> None:
    run = queue.start("idle", 1)
    notes = until(lambda: queue.status(run)["notes"], "notes", ENDED_S)
    assert "no-process" in [note["code"] for note in notes]
    assert "the run used no GPU at all" in queue("status", run).stdout


def test_the_report_of_a_killed_run_has_its_state_though_nobody_asked_before(queue: Queue) -> None:
    run = queue.start("killed", 1)
    queue.told("killed")
    task = json.loads(next((queue.folder / "runs" / run / "tasks").glob("*.json")).read_text())
    os.kill(task["pid"], signal.SIGKILL)
    until(lambda: not process_birth(task["pid"]), "its end")
    assert json.loads(queue("report", "--json", run).stdout)["state"] == "failed"


def test_more_gpus_than_there_are_is_refused(queue: Queue) -> None:
    done = queue("submit", "--executor", "local", "--gpus", "3", "--", "true")
    assert done.returncode == 2
    assert done.stderr == "Error: --gpus: 3 wanted, 2 here: this machine has no more GPUs\n"
    assert not list((queue.folder / "runs").glob("*"))


@pytest.mark.parametrize(
    "visible", [None, pytest.param("0", marks=pytest.mark.slow), pytest.param("", marks=pytest.mark.slow)]
)
def test_without_a_driver_a_run_sees_what_its_user_does(
    queue: Queue, visible: str | None, tmp_path: Path
) -> None:
    queue.environment["LD_LIBRARY_PATH"] = str(tmp_path / "no such folder")
    if visible is not None:
        queue.environment["CUDA_VISIBLE_DEVICES"] = visible
    queue.start("here", 1, "--force")
    assert queue.told("here")["gpus"] == visible


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (18, "Driver/library version mismatch"),  # https://github.com/StatCan/aaw/issues/1581
        (9, "Driver Not Loaded"),
        (999, "Unknown Error"),
    ],
)
def test_a_driver_that_does_not_start_is_an_error_and_no_run_on_the_cpu(
    queue: Queue, code: int, words: str
) -> None:
    queue.file("scenario", f"fault fn=nvmlInit code={code}\n")
    refused = queue("submit", "--executor", "local", "--gpus", "1", "--", "true")
    assert refused.returncode == 2
    said = f"1 GPU wanted, none here: the NVIDIA driver does not start ({words}); the run would be on the CPU"
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not list((queue.folder / "runs").glob("*"))
    unstated = queue("submit", "--executor", "local", "--", "true")
    assert unstated.returncode == 0
    assert f"no GPU can be used here: the NVIDIA driver does not start ({words})" in unstated.stderr


def test_gpus_that_are_asked_for_and_hidden_are_refused_also_in_a_dry_run(queue: Queue) -> None:
    queue.environment["CUDA_VISIBLE_DEVICES"] = ""
    refused = queue("submit", "--executor", "local", "--gpus", "1", "--", "true")
    assert refused.returncode == 2
    assert "1 GPU wanted, none here: CUDA_VISIBLE_DEVICES='' hides 2 GPUs" in refused.stderr
    shown = queue("submit", "--dry-run", "--executor", "local", "--gpus", "1", "--", "true")
    assert "1 GPU wanted, none here" in shown.stderr
    assert queue("submit", "--executor", "local", "--", "true").returncode == 0


def test_nine_gpus_of_eight_are_not_two_nodes(queue: Queue) -> None:
    queue.file("scenario", "gpu count=8\n")
    done = queue("submit", "--executor", "local", "--gpus", "9", "--", "true")
    assert done.stderr == "Error: --gpus: 9 wanted, 8 here: this machine has no more GPUs\n"


def test_slices_are_not_lent_as_gpus(queue: Queue) -> None:
    queue.file("scenario", "gpu count=2\nmig gpu=* count=2\n")
    done = queue("submit", "--executor", "local", "--gpus", "1", "--", "true")
    assert "1 GPU wanted, none here: only MIG slices are visible" in done.stderr
