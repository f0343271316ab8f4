"""Commands over many runs, and over long ones: what is damaged does not hide the others, and nothing is read in vain."""

import json
import os
import pty
import re
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_json
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.run_folder.task_records import TaskRecord

T0 = 1_763_900_000.0


class Runs:
    """Runs of a history of their own, as `submit` leaves them."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder, self.history, self._run = folder, folder / "history.db", run
        self.environment = {"CLUSTERPLAN_HISTORY": str(self.history)}

    def made(
        self, name: Any, *, state: str = "completed", after_s: int = 0, job: bool = True, **facts: Any
    ) -> Any:
        known = {"kind": "submit", "command": ["train"], "began_s": T0 + after_s, **facts}
        began = datetime.fromtimestamp(known["began_s"], UTC)
        folder = create_run_folder(name, self.folder / "runs", began, known)
        if job:
            append_job(folder, "local", "7")
        if state:
            write_json(folder / "status.json", {"state": state, "exit_code": 0, "ended_s": T0 + 9})
        register_run(folder, self.history)
        return folder

    def waiting(self, name: Any) -> Any:
        """Handed to this machine a moment ago."""
        return self.made(name, state=None, began_s=time.time())

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._run(*args, env=os.environ | self.environment, **more)

    def transactions(self) -> Any:
        """How many have changed the history: SQLite counts them in its header."""
        return int.from_bytes(self.history.read_bytes()[24:28], "big")

    def status(self) -> Any:
        told = self("status", "--json")
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)


@pytest.fixture
def runs(clusterplan: Command, tmp_path: Path) -> Runs:
    return Runs(tmp_path, clusterplan)


@pytest.mark.parametrize("torn", ['{"executor": "slurm", "job"', '{"executor": "slurm"}', "\xff}"])
def test_a_torn_line_of_a_runs_jobs_hides_no_run(runs: Runs, torn: str) -> None:
    damaged, whole = runs.made("damaged"), runs.made("whole")
    with (damaged / "jobs.jsonl").open("a", encoding="latin-1") as jobs:
        jobs.write(torn + "\n")
    assert {run["run"] for run in runs.status()["runs"]} == {damaged.name, whole.name}


@pytest.mark.parametrize(("began_s", "seconds"), [(None, None), (T0 + 9.4, 0)])
def test_a_run_that_never_began_took_no_time_and_none_less_than_nothing(
    runs: Runs, began_s: float | None, seconds: int | None
) -> None:
    run = runs.made("train", state="cancelled")  # ended at T0 + 9, as Slurm has it: in whole seconds
    if began_s:
        (run / "tasks").mkdir()
        write_json(
            run / "tasks" / "7.0.0.json",
            vars(TaskRecord("7", 0, 0, 1, "n", "n", 1, "1", began_s, began_s)),
        )
    assert json.loads(runs("history", "list", "--json").stdout)[0]["seconds"] == seconds


@pytest.mark.parametrize("command", ["status", "history list"])
def test_a_run_that_cannot_be_looked_at_hides_no_other(runs: Runs, command: str) -> None:
    whole = runs.made("whole")
    link = runs.history.with_suffix(".runs") / whole.name.replace("whole", "locked")
    link.symlink_to(f"/{'x' * 300}")  # like a disk that does not answer, it is not merely not found
    assert whole.name in runs(*command.split()).stdout


def test_a_file_that_cannot_be_written_is_named(runs: Runs) -> None:
    run = runs.made("open", state=None)
    (run / "cancel.json").mkdir()
    done = runs("cancel", "open")
    assert (done.returncode, done.stderr) == (1, f"Error: {run / 'cancel.json'}: Is a directory\n")


def test_a_working_folder_that_is_gone_is_said(runs: Runs) -> None:
    program = runs("--version").args[0]
    (runs.folder / "gone").mkdir()
    done = subprocess.run(
        ["bash", "-c", f"rmdir $PWD && {program} sample --for 1s"],
        cwd=runs.folder / "gone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the working folder does not exist any more" in done.stderr


def test_the_status_of_all_is_of_those_that_go_on_and_the_latest_that_ended(runs: Runs) -> None:
    running = runs.made("running", state=None)
    ended = [runs.made("ended", after_s=second).name for second in range(1, 60)]
    sampled = runs.made("sampled", kind="sample", after_s=99)
    told = runs.status()
    assert [run["run"] for run in told["runs"]] == [*reversed(ended[-50:]), running.name]
    assert told["earlier"]
    assert runs("status").stdout.endswith("earlier runs: `clusterplan history list`\n")
    assert sampled.name not in runs("status").stdout


def test_the_latest_of_one_second_is_the_one_that_was_registered_last(runs: Runs) -> None:
    names = [runs.made("same").name for _ in range(5)]
    assert [run["run"] for run in runs.status()["runs"]] == names[::-1]


def test_a_run_that_is_just_being_submitted_can_be_cancelled(runs: Runs) -> None:
    run = runs.made("early", state=None, began_s=time.time(), job=False)
    assert runs("cancel", "early").stdout == f"{run.name}: asked to stop; it was pending\n"
    assert (run / "cancel.json").exists()


@pytest.mark.parametrize("command", ["status", "logs", "cancel"])
def test_a_run_is_found_by_its_id_without_a_look_at_the_others(runs: Runs, command: str) -> None:
    wanted, other = runs.made("wanted"), runs.made("other")
    (other / "run.json").unlink()
    os.mkfifo(other / "run.json")  # to read it would take for ever
    done = runs(command, "want", timeout=20)
    assert wanted.name in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("wanted", "said"), [("train", "2 runs begin with 'train'"), ("traim", "the nearest are train-")]
)
def test_a_run_that_is_not_one_is_told_which_there_are(runs: Runs, wanted: str, said: str) -> None:
    names = [runs.waiting("train").name for _ in range(2)]
    runs.made("train-sampled", kind="sample")
    done = runs("cancel", wanted)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert all(name in done.stderr for name in names)
    assert "sampled" not in done.stderr


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("xyz", "run 'xyz' is not known; no run has a name like it"),
        ("/nowhere/train", "/nowhere/train: no such file or folder"),
        ("/", "/: not the folder of a run: it has no run.json"),
    ],
)
def test_a_run_that_resembles_none_is_told_no_names(
    runs: Runs, in_process: Command, monkeypatch: pytest.MonkeyPatch, wanted: str, said: str
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", runs.environment["CLUSTERPLAN_HISTORY"])
    name = runs.made("train").name
    for command in ("status", "advise"):
        done = in_process(command, wanted)
        assert (done.returncode, name in done.stderr) == (2, False)
    assert said in in_process("status", wanted).stderr


def test_a_run_whose_disk_is_away_is_not_called_unknown(
    runs: Runs, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", runs.environment["CLUSTERPLAN_HISTORY"])
    runs.made("other")
    away = runs.made("train")
    away.rename(away.with_name("unmounted"))
    said = f"Error: {away}: the run's folder is deleted, or on a disk that is not mounted\n"
    for command in ("status", "logs", "cancel", "resume"):
        done = in_process(command, "train")
        assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("command", ["status", "logs", "cancel"])
def test_a_run_that_was_not_submitted_is_not_called_unknown(runs: Runs, command: str) -> None:
    runs.made("train")
    sampled = runs.made("sampled", kind="sample")
    done = runs(command, "sampl")
    said = f"{sampled.name} was not submitted, so only `clusterplan history show {sampled.name}` and `report` tell"
    assert (done.returncode, said in done.stderr) == (2, True)


def test_the_status_of_a_beginning_is_that_of_every_run_with_it(runs: Runs) -> None:
    names = [runs.made("train", after_s=second).name for second in range(2)]
    runs.made("other")
    told = json.loads(runs("status", "--json", "train").stdout)
    assert [run["run"] for run in told["runs"]] == names[::-1]
    assert [line.split()[0] for line in runs("status", "train").stdout.splitlines()[1:]] == names[::-1]


@pytest.mark.parametrize("command", ["logs", "report", "history show", "history export"])
def test_of_several_runs_with_a_beginning_the_latest_is_taken_and_named(runs: Runs, command: str) -> None:
    runs.made("train")
    latest = runs.made("train", after_s=1)
    done = runs(*command.split(), "train")
    assert done.stderr.startswith(f"{latest.name}: the latest of 2 runs that begin with 'train'\n")


@pytest.mark.parametrize("how", ["the ids", "--all"])
def test_the_runs_of_a_sweep_are_cancelled_as_one(runs: Runs, how: str) -> None:
    names = [runs.waiting("lr").name for _ in range(3)]
    ended = runs.made("lr").name
    done = runs("cancel", *(["--all", "lr"] if how == "--all" else names))
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{name}: asked to stop; it was pending" for name in names
    )
    assert ended not in done.stdout


@pytest.mark.parametrize("every", [[], ["--all"]])
def test_an_empty_beginning_cancels_nothing(runs: Runs, every: list[Any]) -> None:
    run = runs.waiting("train")
    done = runs("cancel", *every, "")
    assert (done.returncode, "RUN is empty" in done.stderr) == (2, True)
    assert not (run / "cancel.json").exists()


def test_the_run_that_goes_on_is_the_one_to_cancel(runs: Runs) -> None:
    runs.made("train")
    waiting = runs.waiting("train")
    assert runs("cancel", "train").stdout == f"{waiting.name}: asked to stop; it was pending\n"


def test_many_runs_are_collected_in_few_transactions(runs: Runs) -> None:
    runs("history", "list")
    before = runs.transactions()
    for second in range(60):
        runs.made("ended", after_s=second)
    assert len(json.loads(runs("history", "list", "--json").stdout)) == 60
    assert 0 < runs.transactions() - before < 60


@pytest.mark.parametrize("terminal", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_collection_that_takes_a_while_says_how_far_it_is_on_a_terminal(runs: Runs, terminal: bool) -> None:
    runs.made("short", after_s=1)
    with (runs.made("long") / "progress.jsonl").open("w", encoding="utf-8") as steps:
        for i in range(150_000):
            steps.write(
                f'{{"kind": "steps", "time_s": {i}, "step": {i}, "steps": 1, "seconds": 1, "longest_s": 1}}\n'
            )
    reader, writer = pty.openpty() if terminal else os.pipe()
    command, environment = [runs("--version").args[0], "history", "list"], os.environ | runs.environment
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=writer, check=True)
    os.close(writer)
    said = b""
    with suppress(OSError):  # as a terminal ends
        while block := os.read(reader, 4096):
            said += block
    os.close(reader)
    if not terminal:
        assert said == b""
        return
    *shown, last = said.split(b"\r\x1b[K")
    assert last == b""  # the line is cleared at the end
    assert re.fullmatch(
        rb"(working, \d+ s)*(collecting run [12] of 2, \d+ s)+(working, \d+ s)*", b"".join(shown)
    )
