"""How a command is stopped, whatever stands around the training: the guard, in a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from slurm_cluster import until
from test_guard import GUARD, LAUNCH

from clusterplan.launcher.node.training_job import TrainingJob
from clusterplan.launcher.submission.executor.script import write_script
from clusterplan.launcher.submission.request import SlurmRequest

TRAIN = """
import os, pathlib, signal, sys, time
here = pathlib.Path.cwd()
def note(name):
    with open(here / name, "a") as file:
        print(os.getpid(), file=file)
def save(*_):
    note("signals")
    print("saving", flush=True)
    time.sleep(1.5)
    print("saved", flush=True)
    note("saved")
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
note("up")
while True:
    time.sleep(0.1)
"""
# Passes the signal on to its children, and leaves them alone at the second one: torch's elastic agent does so.
LAUNCHER = """
import signal, subprocess, sys
class Signal(Exception): pass
def end(*_): raise Signal
signal.signal(signal.SIGTERM, end)
workers = [subprocess.Popen([sys.executable, "train.py"], start_new_session=True) for _ in range(2)]
try:
    for worker in workers:
        worker.wait()
except Signal:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.wait()
"""
RUNNER = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, 'train.py']).returncode)"
PYTHON = sys.executable
WRAPPERS = {
    "none": [PYTHON, "train.py"],
    "shell script": ["bash", "train.sh"],  # cylc-flow#2043, chroma2#57, snakemake#3241
    "shell without exec": ["bash", "-c", "set -e; python train.py; echo done > done"],
    "pipe": ["bash", "-c", "python train.py 2>&1 | tee log"],
    "task runner": [PYTHON, "-c", RUNNER],
    "shell in a shell": ["sh", "-c", "bash train.sh; true"],
    "trap that waits": ["bash", "-c", "trap 'echo trapped' EXIT TERM; python train.py"],
    "trap that passes on": ["bash", "-c", "trap 'kill $!' TERM; python train.py & wait $!; wait $!"],
    "launcher": [PYTHON, "launcher.py"],
    "launcher in a script": ["bash", "-c", "python launcher.py; true"],
    "helper in the background": ["bash", "-c", "sleep 300 & python train.py"],
    "make": ["make", "train"],
    "timeout": ["timeout", "100", "python", "train.py"],
}
WRAPPERS = {name: words for name, words in WRAPPERS.items() if shutil.which(words[0])}
ALSO_IN_ANOTHER = {
    "shell without exec",
    "shell in a shell",
    "trap that waits",
    "launcher in a script",
    "make",
}
TRAINERS = {"launcher": 2, "launcher in a script": 2}
ENDED_S = 60


class Guarded:
    """A guard and its command in a folder of their own."""

    def __init__(
        self, folder: Path, command: list[str], place: dict[str, str], grace_s: float = 20, job: str = ""
    ) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "logs").mkdir()
        files = {"train.py": TRAIN, "launcher.py": LAUNCHER, "train.sh": "python train.py\n"}
        for name, text in files.items():
            (folder / name).write_text(text)
        (folder / "Makefile").write_text("train:\n\tcd . && python train.py | cat\n")
        # The controller is asked for every job that is stopped; it knows this one only as `job`.
        scontrol = folder / "scontrol"
        answer = (
            f"echo '{job}'" if job else "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"
        )
        scontrol.write_text(f"#!/bin/sh\n{answer}\n")
        scontrol.chmod(0o755)
        replace(LAUNCH, command=tuple(command), cwd=str(folder), nodes=1, gpus=1, grace_s=grace_s).write(
            folder
        )
        path = f"{folder}:{Path(PYTHON).parent}:{os.environ['PATH']}"
        self._path = path
        self.process = self.begin_again(place)

    def begin_again(self, place: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start the guard of one more start of the run."""
        environment = os.environ | place | {"PATH": self._path}
        return subprocess.Popen([PYTHON, "-c", GUARD, self.folder], env=environment, start_new_session=True)

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def session(self) -> list[int]:
        """All processes that the guard started, and itself, as Slurm signals them."""
        pids = [self.process.pid]
        for parent in pids:
            for path in Path(f"/proc/{parent}/task").glob("*/children"):
                pids += map(int, path.read_text().split())
        return pids

    def record(self) -> dict[str, object]:
        record: dict[str, object] = json.loads(next((self.folder / "tasks").glob("*.0.json")).read_text())
        return record


def start_all(folder: Path, place: dict[str, str], names: list[str]) -> dict[str, Guarded]:
    """Start a guard per wrapper, all at once, because most of it is waiting."""
    all_guarded = {
        name: Guarded(folder / str(number), WRAPPERS[name], place) for number, name in enumerate(names)
    }
    for name, guarded in all_guarded.items():
        until(lambda g=guarded, n=name: len(g.lines("up")) == TRAINERS.get(n, 1), name, ENDED_S)
    return all_guarded


@pytest.fixture(scope="module")
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Guarded]:
    """Each command that is asked for, after its guard alone was told to stop."""
    tests = [item for item in request.session.items if "stopped" in getattr(item, "fixturenames", ())]
    names = [str(item.callspec.params["name"]) for item in tests if isinstance(item, pytest.Function)]
    guards = start_all(tmp_path_factory.mktemp("guard"), {}, names)
    for guarded in guards.values():
        guarded.process.terminate()
    for guarded in guards.values():
        guarded.process.wait(ENDED_S)
    return guards


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ALSO_IN_ANOTHER else []) for name in WRAPPERS],
)
def test_the_training_gets_the_signal_once_and_has_the_time_to_save(
    stopped: dict[str, Guarded], name: str
) -> None:
    guarded = stopped[name]
    assert len(guarded.lines("signals")) == TRAINERS.get(name, 1)
    assert sorted(guarded.lines("saved")) == sorted(guarded.lines("up"))
    assert guarded.record()["outcome"] == "stopped"


ON_SLURM = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}


@pytest.mark.parametrize("to_all", [True, False], ids=["to every process", "to the guard alone"])
def test_a_signal_that_slurm_has_sent_to_all_is_not_sent_again(tmp_path: Path, to_all: bool) -> None:
    guards = start_all(tmp_path, ON_SLURM, ["none", "shell script", "task runner"])
    for guarded in guards.values():
        for pid in guarded.session() if to_all else [guarded.process.pid]:
            os.kill(pid, signal.SIGTERM)
    for guarded in guards.values():
        guarded.process.wait(ENDED_S)
        assert guarded.lines("signals") == guarded.lines("saved") == guarded.lines("up")


@pytest.mark.parametrize("place", [ON_SLURM, {}], ids=["on Slurm", "locally"])
def test_what_a_command_left_in_the_background_ends_with_the_run(
    tmp_path: Path, place: dict[str, str]
) -> None:
    command = ["bash", "-c", "setsid sleep 300 & echo $! > up"]
    guarded = Guarded(tmp_path / "run", command, place)
    assert guarded.process.wait(ENDED_S) == 0
    assert not Path(f"/proc/{guarded.lines('up')[0]}").exists()


def test_a_helper_that_handles_the_signal_does_not_keep_a_training_alive(tmp_path: Path) -> None:
    """wandb and the workers of a data loader handle SIGTERM, where the training itself may not."""
    helper = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: exit())\nopen('up', 'w').write('1')\n"
    )
    training = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {helper + 'time.sleep(300)'!r}]); "
    )
    guarded = Guarded(tmp_path / "run", [PYTHON, "-c", training + "import time; time.sleep(300)"], {})
    until(lambda: guarded.lines("up"), "the helper", ENDED_S)
    began_s = time.monotonic()
    guarded.process.terminate()
    guarded.process.wait(ENDED_S)
    assert time.monotonic() - began_s < 15  # half of the grace, and then it ends at once


@pytest.mark.parametrize("is_preempted", [True, False])
def test_a_save_may_take_the_whole_grace_of_a_preemption(tmp_path: Path, is_preempted: bool) -> None:
    """GraceTime of the partition, in Slurm's preemption page, may be longer than what a run needs at its limit."""
    form = "%Y-%m-%dT%H:%M:%S"
    ends, now = (time.strftime(form, time.localtime(time.time() + more_s)) for more_s in (20, 0))
    facts = "JobId=7 JobState=RUNNING Reason=None Restarts=0 Requeue=1 TimeLimit=1-00:00:00"
    facts += f" StartTime={now} EndTime={ends} PreemptTime={now}" if is_preempted else ""
    guarded = Guarded(tmp_path / "run", WRAPPERS["none"], ON_SLURM, grace_s=0.5, job=facts)
    until(lambda: guarded.lines("up"), "the training", ENDED_S)
    guarded.process.terminate()
    until(lambda: guarded.record()["outcome"], "the end of the training", ENDED_S)
    guarded.process.kill()
    guarded.process.wait()
    assert bool(guarded.lines("saved")) is is_preempted


def _begin_again(guarded: Guarded) -> None:
    """Write what the next start of the job writes as it begins: Slurm requeued it when a node's slurmd died."""
    tasks = guarded.folder / "tasks"
    record = guarded.record() | {"restart": 1, "node": "other"}
    (tasks / "7.1.0.json").write_text(json.dumps(record))


def test_a_start_that_sees_a_newer_one_stops_and_writes_nothing(tmp_path: Path) -> None:
    """transformerlab-app#1003, fairchem#777: requeued on NODE_FAIL, while the old processes live on."""
    guarded = start_all(tmp_path, ON_SLURM, ["shell script"])["shell script"]
    _begin_again(guarded)
    assert guarded.process.wait(ENDED_S) == 128 + signal.SIGKILL
    assert not guarded.lines("signals")
    assert not Path(f"/proc/{guarded.lines('up')[0]}").exists()
    assert not (guarded.folder / "status.json").exists()
    assert json.loads((guarded.folder / "tasks" / "7.0.0.json").read_text())["stop_cause"] == "newer_start"


@pytest.mark.parametrize("code", [0, 1])
def test_an_old_start_that_ends_has_no_final_word(tmp_path: Path, code: int) -> None:
    command = ["bash", "-c", f"touch up; until [ -e tasks/7.1.0.json ]; do sleep 0.1; done; exit {code}"]
    guarded = Guarded(tmp_path / "run", command, ON_SLURM)
    until((guarded.folder / "up").exists, "the command", ENDED_S)
    _begin_again(guarded)
    guarded.process.wait(ENDED_S)
    assert not (guarded.folder / "status.json").exists()


def test_a_start_waits_until_an_earlier_one_has_stood_back(tmp_path: Path) -> None:
    """The processes outlive their slurmd, and the job is requeued: two starts would write the same checkpoints.

    The new start has the number of the old one where a controller that was killed forgot that one.
    """
    old_starts = {"1": "none", "0": "shell script"}
    guards = start_all(tmp_path, ON_SLURM, list(old_starts.values()))
    news = {
        count: guards[name].begin_again(ON_SLURM | {"SLURM_RESTART_COUNT": count, "SLURMD_NODENAME": "gpu2"})
        for count, name in old_starts.items()
    }
    for count, name in old_starts.items():
        old, new = guards[name], news[count]
        old_trainer = old.lines("up")[0]
        until(lambda old=old: len(old.lines("up")) > 1, "the new start's training", ENDED_S)
        assert not Path(f"/proc/{old_trainer}").exists()
        assert not old.lines("signals")
        os.kill(new.pid, signal.SIGTERM)
        new.wait(ENDED_S)
        assert old.process.wait(ENDED_S) == 128 + signal.SIGKILL
        assert json.loads((old.folder / "tasks" / f"7.{count}.0.json").read_text())["node"] == "gpu2"


def test_a_start_that_is_stopped_while_it_waits_for_an_earlier_one_begins_nothing(tmp_path: Path) -> None:
    """As in benchmarks/survival.py: preempted while the processes of a lost node lived on, both took steps."""
    old = start_all(tmp_path, ON_SLURM, ["none"])["none"]
    new = old.begin_again(ON_SLURM | {"SLURM_RESTART_COUNT": "1", "SLURMD_NODENAME": "gpu2"})
    record = old.folder / "tasks" / "7.1.0.json"
    until(record.exists, "the new start", ENDED_S)
    new.terminate()
    new.wait(ENDED_S)
    assert len(old.lines("up")) == 1
    assert json.loads(record.read_text())["outcome"] == "stopped"
    old.process.kill()
    old.process.wait()


class EarlyWarned(TrainingJob):
    """Slurm's warning comes once submitit listens, before the guard does."""

    def __call__(self) -> NoReturn:
        os.kill(os.getpid(), signal.SIGUSR2)
        sys.exit("the job goes on")


def test_a_warning_before_the_guard_listens_requeues_the_job(tmp_path: Path) -> None:
    """submitit fails a job whose callable has no `checkpoint`, if its limit is near: all of a limit below 10 minutes is."""
    request = SlurmRequest(nodes=1, gpus=1, signal_delay_s=30, time="00:01:00")
    script = write_script([tmp_path], request, EarlyWarned)
    script.with_suffix(".0.pkl").rename(script.with_name("7_submitted.pkl"))
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "$@" > "$0.asked"\n')
    scontrol.chmod(0o755)
    place = ON_SLURM | {"SLURM_NODEID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NUM_NODES": "1"}
    place |= {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_NODELIST": "gpu1"}
    place |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parent)}
    command = [PYTHON, "-m", "submitit.core._submit", str(script.parent)]
    done = subprocess.run(command, env=os.environ | place, capture_output=True, text=True, check=False)
    assert (tmp_path / "scontrol.asked").read_text() == "requeue 7\n", done.stderr


def test_marks_of_a_start_that_slurm_forgot_do_not_stand_for_a_new_one(tmp_path: Path) -> None:
    """A controller that is killed gives its last restart's number again: the job's shell then asks for a restart."""
    script = write_script([tmp_path], SlurmRequest(nodes=1, gpus=1, signal_delay_s=30), TrainingJob)
    answers = {
        "srun": "exit 143",
        "scontrol": f'echo "$@" >> {tmp_path}/asked; echo JobState=RUNNING',
        "sleep": "",
    }
    for name, text in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    for restart in (1, 2):
        (script.parent / f"7.{restart}.began").touch()
    place = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", script], env=os.environ | place, capture_output=True, check=False)
    assert done.returncode == 143
    assert "requeue 7" in (tmp_path / "asked").read_text()


def test_a_run_that_nobody_warns_saves_before_its_allocation_ends(tmp_path: Path) -> None:
    """The time counts from the start of the allocation: Slurm 23.02 and later says when it ends."""
    ends = {"SLURM_JOB_END_TIME": str(int(time.time()) + 26)}  # the grace is 20 s
    guarded = start_all(tmp_path, ON_SLURM | ends, ["none"])["none"]
    guarded.process.wait(ENDED_S)
    assert guarded.lines("signals") == guarded.lines("saved") == guarded.lines("up")
    assert guarded.record()["stop_cause"] == "time_limit"
