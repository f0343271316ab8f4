"""Slurm's daemons are down, or take connections and never answer: each is asked once per command, and nothing stays behind.

Slurm 22.05's own clients: 9 s where nobody listens, 10 s where nobody answers, each.
"""

import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from slurm_cluster import until

from clusterplan.errors import SlurmUnavailable
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.run_folder.task_records import process_birth
from clusterplan.launcher.slurm import client as asking
from clusterplan.launcher.slurm.silences import remembered_silences

QUESTIONS = ("squeue", "scontrol", "sinfo", "sbatch", "scancel", "sacct", "sacctmgr")


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[str]]]:
    """Put commands in the place of Slurm's that run `script`, and `scontrol ping` its own; gives what was asked."""
    asked = tmp_path / "asked"
    asked.touch()
    places = tmp_path / "bin"
    places.mkdir()
    monkeypatch.setenv("PATH", f"{places}:{os.environ['PATH']}")

    def put(script: str, ping: str) -> Callable[[], list[str]]:
        for name in QUESTIONS:
            path = places / name
            path.write_text(
                f'#!/bin/sh\n[ "$1" = ping ] && {{ {ping}; exit; }}\necho {name} "$@" >> {asked}\n{script}\n',
                encoding="utf-8",
            )
            path.chmod(0o755)
        return lambda: asked.read_text(encoding="utf-8").splitlines()

    return put


@pytest.fixture
def waiting_runs(tmp_path: Path) -> dict[str, str]:
    """Two runs whose jobs only Slurm knows; gives the environment that shows them."""
    history = tmp_path / "h" / "history.db"
    for number in range(2):
        facts = {"kind": "submit", "began_s": 1.79e9, "executor": "slurm"}
        folder = create_run_folder(f"net{number}", tmp_path / "runs", datetime.now(UTC), facts)
        register_run(folder, history)
        append_job(folder, "slurm", str(7 + number))
    return {"CLUSTERPLAN_HISTORY": str(history), "CLUSTERPLAN_RUNS": str(tmp_path / "runs")}


DOWN = "echo 'Slurmctld(primary) at ctl is DOWN'"


def test_a_command_asks_a_dead_controller_once_and_goes_by_the_folders(
    stand_ins: Callable[..., Any], waiting_runs: dict[str, str], clusterplan: Command
) -> None:
    asked = stand_ins("sleep 300", DOWN)
    done = clusterplan("status", env=os.environ | waiting_runs)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "Slurm does not answer: scontrol says 'Slurmctld(primary) at ctl is DOWN'; what "
    )
    assert done.stdout.count("pending") == 2
    assert sorted(line.split()[0] for line in asked()) == ["scontrol", "squeue"]  # side by side


def test_cancel_asks_it_once_too_and_says_that_it_cannot(
    stand_ins: Callable[..., Any], waiting_runs: dict[str, str], clusterplan: Command
) -> None:
    asked = stand_ins("sleep 300", DOWN)
    done = clusterplan("cancel", "net0", env=os.environ | waiting_runs)
    assert (done.returncode, done.stderr.startswith("Error: Slurm does not answer: ")) == (3, True)
    assert "scancel" not in {line.split()[0] for line in asked()}


def test_what_a_wrapper_started_ends_with_it(stand_ins: Callable[..., Any], tmp_path: Path) -> None:
    """As a site's wrapper of squeue does; a hung child would hold a connection for ever."""
    stand_ins(f"sleep 300 & echo $! > {tmp_path}/child; wait", DOWN)
    with pytest.raises(SlurmUnavailable, match="DOWN"):
        asking.read_queue(["1"])
    child = int((tmp_path / "child").read_text(encoding="ascii"))
    until(lambda: not process_birth(child), "the end of the child, which has been killed")


def test_a_slow_controller_is_waited_for(stand_ins: Callable[..., Any]) -> None:
    stand_ins("sleep 4; echo '7|RUNNING|1|2|60|p|n1|None'", "echo 'Slurmctld(primary) at ctl is UP'")
    assert [job.job_id for job in asking.read_queue(["7"])] == ["7"]


def test_silence_is_remembered_for_one_command_and_for_the_daemon_that_was_silent(
    stand_ins: Callable[..., Any],
) -> None:
    asked = stand_ins("sleep 300", DOWN)
    with remembered_silences():
        for question in (lambda: asking.read_queue(["1"]), asking.read_nodes, asking.read_settings):
            with pytest.raises(SlurmUnavailable, match="DOWN"):
                question()
        assert len(asked()) == 1
        stand_ins("echo '8|COMPLETED|0:0|2|3|00:30:00|gpu1'", DOWN)
        assert asking.ask("sacct", "--jobs=8")
    stand_ins("echo '7|RUNNING|1|2|60|p|n1|None'", DOWN)
    assert asking.read_queue(["7"])


@pytest.fixture
def silent_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A controller that takes connections and says nothing, to Slurm's own commands."""
    if not asking.is_available():
        pytest.skip("Slurm is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.listen(50)
        conf = tmp_path / "slurm.conf"
        port = server.getsockname()[1]
        conf.write_text(
            f"ClusterName=x\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort={port}\nAuthType=auth/none\n",
            encoding="ascii",
        )
        monkeypatch.setenv("SLURM_CONF", str(conf))
        yield


@pytest.mark.usefixtures("silent_controller")
def test_slurms_own_commands_are_not_waited_for_either() -> None:
    with pytest.raises(SlurmUnavailable, match="squeue said nothing for 3 s"):
        asking.read_queue(["1"])
