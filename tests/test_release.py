"""A job that a node could not start is let go again, and does not wait for a person (burrmill/burrmill#15)."""

from pathlib import Path
from typing import Any

import pytest

from clusterplan.launcher.run_folder.cancel_request import write_cancel_request
from clusterplan.launcher.runs.waiting.queue_reasons import explain_wait
from clusterplan.launcher.runs.waiting.release import release_failed_launch
from clusterplan.launcher.slurm.jobs import QueuedJob, parse_queue

HELD = "7|PENDING|N/A|N/A|10:00|long||launch failed requeued held"


def held(line: str = HELD) -> QueuedJob:
    return parse_queue(line)[0]


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a `scontrol` that writes down what it is asked; return the function that reads it."""
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\nexit $(cat {tmp_path}/code 2> /dev/null || echo 0)\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    asked = tmp_path / "asked"
    return lambda: asked.read_text().splitlines() if asked.exists() else []


def test_it_is_released_with_a_word(tmp_path: Path, scontrol: Any) -> None:
    job = release_failed_launch(tmp_path, held())
    assert scontrol() == ["release 7"]
    assert job is not None
    words = "a node could not start it, and Slurm held it: now released, it waits for nodes again"
    assert explain_wait(job, None, 0.0) == words


def test_it_is_released_three_times_and_then_a_person_is_asked(tmp_path: Path, scontrol: Any) -> None:
    for _ in range(5):
        job = release_failed_launch(tmp_path, held())
    assert len(scontrol()) == 3
    assert job is not None
    assert "`scontrol release 7` lets it go" in explain_wait(job, None, 0.0)
    release_failed_launch(tmp_path, held(HELD.replace("7|", "8|", 1)))  # another job counts by itself
    assert scontrol()[-1] == "release 8"


def test_a_refusal_leaves_it_to_a_person(tmp_path: Path, scontrol: Any) -> None:
    (tmp_path / "code").write_text("1")
    assert release_failed_launch(tmp_path, held()) == held()
    assert scontrol() == ["release 7"]


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHeldAdmin", "Priority", "job requeued in held state"])
def test_what_a_person_may_hold_is_left_alone(tmp_path: Path, scontrol: Any, reason: str) -> None:
    job = held(f"7|PENDING|N/A|N/A|10:00|long||{reason}")
    assert release_failed_launch(tmp_path, job) == job
    assert release_failed_launch(tmp_path, None) is None
    assert scontrol() == []


def test_a_run_that_is_to_be_cancelled_is_left_alone(tmp_path: Path, scontrol: Any) -> None:
    write_cancel_request(tmp_path)
    assert release_failed_launch(tmp_path, held()) == held()
    assert scontrol() == []
