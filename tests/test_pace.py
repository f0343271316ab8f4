"""`watch` asks Slurm in rounds, never closer than 30 s, whatever becomes of the runs: by a clock that the test moves.

Sites ask for it: "avoid polling Slurm faster than every 30 seconds" (docs.nersc.gov, docs.rc.fas.harvard.edu on squeue).
"""

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from recorded_queue import CONFIG, JOBS, NODES, NOW_S, PARTITIONS

from clusterplan.api.live.watching import Watch
from clusterplan.errors import SlurmUnavailable
from clusterplan.launcher.run_folder.final_status import write_final_status
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.slurm.pace import PERIOD_S, Pace
from clusterplan.render.layout import Page
from clusterplan.render.runs.watch_text import write_frame


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put stand-ins for Slurm's commands into PATH; gives the programs that were called since the last time."""
    folder, log = tmp_path / "bin", tmp_path / "log"
    folder.mkdir()
    log.touch()
    shift_s = round(time.time() - NOW_S)
    moved = re.sub(r"\b1795\d{6}\b", lambda match: str(int(match[0]) + shift_s), JOBS)
    texts = {
        "squeue": moved,
        "own": "4|PENDING|N/A|N/A|1:00:00|long||Resources\n",
        "node": NODES,
        "partition": PARTITIONS,
        "reservation": "",
        "config": f"ClusterName = west\nSLURM_VERSION = 22.05.8\n{CONFIG}",
        "sacct": "",
    }
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    bodies = {
        "squeue": 'name=own; case "$*" in *--Format*) name=squeue; esac',
        "scontrol": "for name; do :; done",
        "sacct": "name=sacct",
    }
    for name, body in bodies.items():
        path = folder / name
        path.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {log}\n{body}\ncat {folder}/"$name".txt\n', encoding="utf-8"
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    read = 0

    def since() -> list[str]:
        nonlocal read
        lines = log.read_text(encoding="utf-8").splitlines()[read:]
        read += len(lines)
        return [line.split()[0] for line in lines]

    return since


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Path]:
    """Make a run that was given to Slurm a moment ago as job `job`."""
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))

    def make(name: str, job: int) -> Path:
        facts = {"kind": "submit", "began_s": time.time(), "executor": "slurm"}
        folder = create_run_folder(name, tmp_path / "runs", datetime.now(UTC), facts)
        append_job(folder, "slurm", str(job))
        register_run(folder, tmp_path / "history.db")
        return folder

    return make


def test_a_round_begins_30_s_after_the_last_question_of_the_one_before(clock: Clock) -> None:
    pace, asked_s = Pace(clock=clock), list[float]()

    def ask() -> None:
        clock.now_s += 2.5  # that Slurm takes
        asked_s.append(clock.now_s)

    for _ in range(300):
        pace.look()
        pace.answer("jobs", ask)
        clock.now_s += 0.5
    pauses = [later - earlier for earlier, later in pairwise(asked_s)]
    assert len(pauses) >= 3
    assert min(pauses) >= PERIOD_S + 2.5


def test_a_question_that_comes_between_rounds_waits_for_the_next(clock: Clock) -> None:
    pace = Pace(clock=clock)
    assert pace.answer("jobs", lambda: 1) == 1
    clock.now_s += 10
    pace.look()
    with pytest.raises(SlurmUnavailable, match="asked 10 s ago"):
        pace.answer("nodes", lambda: 2)
    clock.now_s += 20
    pace.look()
    assert pace.answer("nodes", lambda: 2) == 2


def test_a_silence_is_an_answer_too(clock: Clock) -> None:
    pace, asked = Pace(clock=clock), list[int]()

    def ask() -> None:
        asked.append(1)
        raise SlurmUnavailable("Slurm does not answer")

    for _ in range(3):
        pace.look()
        with pytest.raises(SlurmUnavailable, match="does not answer"):
            pace.answer("jobs", ask)
        clock.now_s += 1
    assert asked == [1]


def test_runs_that_come_and_go_make_watch_ask_no_sooner(
    questions: Callable[[], list[str]], submitted: Callable[[str, int], Path], clock: Clock
) -> None:
    watch, rounds = Watch(None, Pace(clock=clock)), dict[float, list[str]]()
    folders = [submitted("net", 4)]
    for second in range(65):
        clock.now_s = float(second)
        if second in (5, 40):  # a job that the last answer does not have yet
            folders.append(submitted(f"new{second}", 70 + second))
        if second == 50:
            write_final_status(folders[1], "completed", 0, None, None, ended_s=time.time(), job="75")
        states = {run.run.partition("-")[0]: run for run in watch.look()}
        if asked := questions():
            rounds[second] = asked
        if second == 5:
            assert (states["new5"].state.state, states["new5"].state.reason) == ("pending", "just submitted")
    assert list(rounds) == [0, 30, 60]
    for asked in rounds.values():
        assert asked.count("squeue") == 2  # this user's jobs, and the queue that they wait in
    assert states["new5"].state.state == "completed"


@pytest.mark.parametrize("width", [40, 80])
def test_a_pending_run_shows_its_place_in_line_and_its_start(
    questions: Callable[[], list[str]], submitted: Callable[[str, int], Path], width: int
) -> None:
    submitted("net", 4)
    runs = Watch(None).look()
    assert questions()
    page = Page(width, colour=False)
    write_frame(
        page, runs, {}, {run.run: run.waiting for run in runs if run.waiting}, time.time(), "q: leave"
    )
    text = " ".join(str(page).split())
    assert re.search(r"starts in 29m \d+s; \S+ UTC, first in line in partition long; by limits", text)
    assert max(map(len, str(page).splitlines())) <= width


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_neighbours_pending_run_is_not_taken_for_lost(
    questions: Callable[[], list[str]], submitted: Callable[[str, int], Path]
) -> None:
    """squeue is asked for this user's jobs, so it does not name those of others."""
    folder = submitted("theirs", 99)
    jobs = folder / "jobs.jsonl"
    jobs.write_text(
        re.sub(r'"submitted_s": [\d.]+', f'"submitted_s": {time.time() - 3600}', jobs.read_text())
    )
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12345, -1)
    (run,) = Watch(None).look()
    assert questions()
    assert run.state.state == "pending"
    assert re.match(r"a job of another user; submitted (1h|60m)", run.state.reason)
