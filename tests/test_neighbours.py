"""Hostile neighbours: members of one's group, who may write where one's runs are kept.

Cases 3 and 8 of the faults that were measured: a queued run's folder of mode 0700 was renamed where its root was the
group's, and the pickle of the one in its place was run.  Each attack of docs/explanation/threat-model.md is here.
"""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from slurm_cluster import until
from two_users import ADA, BEN, As, share, state_at_end, submit

from clusterplan.errors import ForeignFile
from clusterplan.launcher.node.gpu_locks import find_lock_folder
from clusterplan.launcher.node.log_reader.follow import follow_logs
from clusterplan.launcher.node.log_reader.followed_log import CommandStart
from clusterplan.launcher.run_folder.owners.own_files import find_open_folders, open_own, open_own_file
from clusterplan.launcher.run_folder.owners.process import signal_task
from clusterplan.launcher.run_folder.registry import registered_folders
from clusterplan.launcher.run_folder.task_records import TaskRecord, process_birth

# What submitit finds in a run's folder, written by the user who runs this.
WRITE_RUN = """
import sys
from pathlib import Path
from submitit.core.utils import DelayedSubmission
from clusterplan.launcher.node.training_job import TrainingJob
folder = Path(sys.argv[1])
(folder / "submitit").mkdir(parents=True, mode=0o700)
folder.chmod(0o700)
DelayedSubmission(TrainingJob(str(folder))).dump(folder / "submitit/7_submitted.pkl")
(folder / "launch.json").write_text("{}")
"""
WRITE_ATTACK = """
import os, pickle, sys
from pathlib import Path
class Attack:
    def __reduce__(self):
        return os.system, (f"id -un > {sys.argv[2]}",)
folder = Path(sys.argv[1])
(folder / "submitit").mkdir(parents=True)
(folder / "submitit/7_submitted.pkl").write_bytes(pickle.dumps(Attack()))
for path in (folder, *folder.rglob("*")):
    path.chmod(0o777)
"""
START = ("-P", "-m", "clusterplan.launcher.submission.executor.start")
QUEUED = {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": "7"}


def owned_by(who: tuple[str, str], path: Path, mode: int) -> Path:
    shutil.chown(path, *who)
    path.chmod(mode)
    return path


def test_a_queued_run_whose_folder_a_neighbour_replaced_runs_none_of_his_code(
    lab: Path, python_as: As
) -> None:
    share(lab, 0o2770)
    run, proof = lab / "shared/net-1", lab / ADA[0] / "proof"
    assert python_as(ADA, "-c", WRITE_RUN, run).returncode == 0
    python_as(BEN, "-c", "import os, sys; os.rename(*sys.argv[1:])", run, f"{run}.hidden")
    assert python_as(BEN, "-c", WRITE_ATTACK, run, proof).returncode == 0
    started = python_as(ADA, *START, run / "submitit", variables=QUEUED)
    assert not proof.exists()
    assert (started.returncode, started.stderr) == (
        1,
        f"Error: {run}/submitit belongs to games, mode 0777: nothing of it is run for daemon\n",
    )
    for path in (run, run / "submitit"):  # his file alone, in her folders
        owned_by(ADA, path, 0o700)
    started = python_as(ADA, *START, run / "submitit", variables=QUEUED)
    assert not proof.exists()
    assert f"7_submitted.pkl belongs to {BEN[0]}" in started.stderr


def test_a_run_whose_command_a_neighbour_wrote_is_not_started(lab: Path, python_as: As) -> None:
    run = lab / ADA[0] / "net-1"
    assert python_as(ADA, "-c", WRITE_RUN, run).returncode == 0
    owned_by(BEN, run / "launch.json", 0o644)
    started = python_as(ADA, *START, run / "submitit", variables=QUEUED)
    refusal = f"Error: {run}/launch.json belongs to games, mode 0644: nothing of it is run for daemon\n"
    assert (started.returncode, started.stderr) == (1, refusal)


def test_a_command_for_stalls_that_a_neighbour_wrote_is_not_started(lab: Path) -> None:
    """The reader of logs is a process of its own, which reads the launch again."""
    path = lab / BEN[0] / "launch.json"
    path.write_text(json.dumps({"stall_command": ["touch", f"{lab}/proof"]}))
    owned_by(BEN, path, 0o644)
    with pytest.raises(ForeignFile, match="nothing of it is run for root"):
        follow_logs(path.parent, [], CommandStart(0, 0.0, 0.0), lambda _: True, {})


@pytest.mark.parametrize("mode", [0o660, 0o606], ids=["the group", "everybody"])
def test_a_file_that_others_may_write_is_not_run(lab: Path, python_as: As, mode: int) -> None:
    path = lab / ADA[0] / "launch.json"
    path.write_text("{}")
    owned_by(ADA, path, mode)
    read = "import sys, pathlib\nfrom clusterplan.launcher.run_folder.owners.own_files import *\n"
    shown = python_as(ADA, "-c", f"{read}open_own_file(sys.argv[1])", path)
    who = "group users" if mode & 0o020 else "everybody"
    assert f"{path} may be written by {who}, mode {mode:04o}: nothing of it is run" in shown.stderr


def test_a_file_of_ones_own_is_read_and_a_pipe_in_its_place_makes_nobody_wait(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    with open_own_file(tmp_path / "mine") as file:
        assert file.read() == b"text"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ForeignFile, match="neither a file nor a folder"):
        open_own(tmp_path / "pipe")


def test_a_run_of_a_neighbour_is_not_resumed_for_him(lab: Path, run_as: As) -> None:
    """`resume` starts the Python that the run's command names, to look for torch."""
    share(lab, 0o2775)
    proof = lab / ADA[0] / "proof"
    python = lab / BEN[0] / "python"
    python.write_text(f"#!/bin/sh\nid -un >> {proof}\n")
    python.chmod(0o755)
    (lab / BEN[0] / "train.py").touch()
    run = submit(run_as, BEN, str(python), "train.py")
    assert state_at_end(run_as, BEN, run) in ("completed", "failed")
    refused = run_as(ADA, "resume", run["run"], "--from-start")
    assert (refused.returncode, proof.exists() and "daemon" in proof.read_text()) == (2, False)
    assert refused.stderr == f"Error: {run['run']} is a run of games, who alone can resume it\n"


def record_of(pid: int, birth: str) -> TaskRecord:
    host = socket.gethostname()
    return TaskRecord("7", 0, 0, 1, node=host, host=host, pid=pid, birth=birth, began_s=0, beat_s=0)


@contextmanager
def sleeping(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline()  # before, /proc may not show its words yet
            yield process
        finally:
            process.kill()


def test_cancel_signals_the_process_of_the_run_and_no_other(tmp_path: Path) -> None:
    """After the machine was started anew, a number and a time of birth may be those of another process."""
    with sleeping() as other, sleeping(f"{tmp_path}/submitit") as own:
        for pid in (other.pid, -other.pid, -os.getpgid(0), 0, -1):
            assert not signal_task(tmp_path, record_of(pid, process_birth(other.pid)), signal.SIGTERM)
        assert not signal_task(tmp_path, record_of(own.pid, "1"), signal.SIGTERM)
        assert signal_task(tmp_path, record_of(own.pid, process_birth(own.pid)), signal.SIGTERM)
        assert own.wait(60) == -signal.SIGTERM
        assert other.poll() is None
        assert not signal_task(tmp_path, record_of(own.pid, process_birth(other.pid)), signal.SIGTERM)


def test_cancel_by_root_signals_no_process_of_another_user(lab: Path) -> None:
    run = lab / BEN[0] / "net-1"
    run.mkdir()
    shutil.chown(run, *BEN)
    with sleeping(f"{run}/submitit") as roots:
        assert not signal_task(run, record_of(roots.pid, process_birth(roots.pid)), signal.SIGTERM)
        assert roots.poll() is None


@pytest.mark.parametrize(
    ("mode", "writers"),
    [(0o777, "everybody"), (0o775, "group users"), (0o1777, None), (0o755, None)],
    ids=["everybody", "a group", "sticky", "its owner alone"],
)
def test_folders_in_which_others_may_replace_a_run_are_known(lab: Path, mode: int, writers: Any) -> None:
    share(lab, mode)
    runs = lab / "shared/runs"
    runs.mkdir(mode=0o700)
    (lab / "link").symlink_to(runs)
    found = [str(folder) for folder in find_open_folders(lab / "link/not-yet")]
    expected = f"{lab}/shared of daemon may be written by {writers} (mode {mode:04o})"
    assert found == ([expected] if writers else [])


@pytest.mark.parametrize(
    ("umask", "is_shared"),
    [(0o000, False), (0o002, False), (0o000, True), (0o077, True)],
    ids=["0, one user's", "2, one user's", "0, a group's", "77, a group's"],
)
def test_what_commands_write_has_the_promised_modes_under_every_umask(
    launched: Any, umask: int, is_shared: bool
) -> None:
    place = launched.folder / "place"
    place.mkdir()
    place.chmod(0o2770 if is_shared else 0o700)
    launched.environment |= {
        "CLUSTERPLAN_RUNS": str(place / "new/folder/runs"),
        "CLUSTERPLAN_HISTORY": str(place / "history.db" if is_shared else place / "new/data/history.db"),
    }
    before = os.umask(umask)
    try:
        run = launched.submit("--executor", "local", "--", "sh", "-c", 'touch "$0/trained"', "{output}")
        assert launched("sample", "--", "true").returncode == 0
        until((Path(run["folder"]) / "status.json").exists, "the end of the run")
        assert launched("history", "list").returncode == 0
    finally:
        os.umask(before)
    trained = Path(run["folder"]) / "output/trained"
    assert mode_of(trained) == 0o666 & ~umask  # what the command writes is its user's affair
    modes = {path: mode_of(path) & 0o777 for path in place.rglob("*") if path != trained}
    in_runs = {path: mode for path, mode in modes.items() if "runs" in path.relative_to(place).parts}
    assert len(in_runs) > 20
    for path, mode in in_runs.items():
        expected = (0o750 if path.is_dir() else 0o640) if is_shared else 0o700 if path.is_dir() else 0o600
        assert (path, oct(mode)) == (path, oct(expected))
    for path, mode in modes.items() - in_runs.items():
        assert (path, mode & (0o007 if is_shared else 0o077)) == (path, 0)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_submit_and_doctor_warn_of_a_folder_that_others_may_write(launched: Any) -> None:
    place = launched.folder / "place"
    place.mkdir()
    place.chmod(0o777)
    launched.environment["CLUSTERPLAN_RUNS"] = str(place / "runs")
    words = f"{place} of root may be written by everybody (mode 0777)"
    shown = launched("submit", "--executor", "local", "--dry-run", "--", "true")
    assert words in shown.stderr + shown.stdout
    assert words in launched("doctor", "--json").stdout.replace("\\", "")
    place.chmod(0o1777)
    shown = launched("submit", "--executor", "local", "--dry-run", "--", "true")
    assert "may be written by" not in shown.stderr + shown.stdout


def test_all_runs_of_a_user_lock_gpus_in_one_folder_that_nobody_can_make_first(tmp_path: Path) -> None:
    note = tmp_path / "locks/machine"
    with ThreadPoolExecutor(8) as pool:
        (folder,) = set(pool.map(find_lock_folder, [note] * 8))
    try:
        assert (mode_of(folder), folder.stat().st_uid) == (0o700, os.geteuid())
        assert find_lock_folder(note) == folder
        (tmp_path / "link").symlink_to(folder)
        (note.parent / "machine.0").write_text(str(tmp_path / "link"))
        other = find_lock_folder(note)
        other.rmdir()
        assert other != folder
        assert sorted(path.name for path in note.parent.iterdir()) == ["machine.0", "machine.1"]
    finally:
        folder.rmdir()


def test_what_a_neighbours_links_lead_to_is_not_told_to_those_who_share_the_history(
    lab: Path, run_as: As
) -> None:
    """Ada may read her own file, and `history list` reads what is new in everybody's runs."""
    share(lab, 0o2775)
    private = lab / ADA[0] / "private.json"
    run = submit(run_as, BEN)
    folder = Path(run["folder"])
    until((folder / "status.json").exists, "the end of his run")
    private.write_text((folder / "run.json").read_text().replace("hello", "s3cret"))
    owned_by(ADA, private, 0o600)
    (folder / "run.json").unlink()
    (folder / "run.json").symlink_to(private)
    os.chown(folder / "run.json", folder.stat().st_uid, -1, follow_symlinks=False)
    words = "run.json: the way to it is games's, and the file is daemon's: it is not read"
    assert words in run_as(ADA, "history", "list").stderr
    assert "s3cret" not in run_as(BEN, "history", "list", "--json").stdout
    private.rename(folder / "run.json")  # as he may if her folder is his to write too
    assert words in run_as(ADA, "history", "import", folder).stderr


def test_a_neighbours_entry_in_the_list_of_runs_does_not_stand_for_another_run(lab: Path) -> None:
    runs = lab / "shared/history.runs"
    runs.mkdir()
    own, his = lab / "own-20261128T101500-0a1b", lab / BEN[0] / "his-20261128T101500-0a1b"
    for folder in (own, his):
        folder.mkdir()
    shutil.chown(his, *BEN)
    links = {own.name: own, his.name: his, "x": own, "own-20261128T101500-0a1c": own, "y": his}
    for name, target in links.items():
        (runs / name).symlink_to(target)
        if name != own.name:
            os.chown(runs / name, his.stat().st_uid, -1, follow_symlinks=False)
    assert set(registered_folders(lab / "shared/history.db")) == {own, his}
    assert len(registered_folders(lab / "shared/history.db")) == 2


def test_each_defence_of_the_threat_model_is_a_test() -> None:
    page = (ROOT / "docs/explanation/threat-model.md").read_text()
    names = set(re.findall(r"`(test_\w+)`", page))
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert [name for name in names if f"def {name}(" not in tests] == []
    rows = [line for line in page.split("## What is defended")[1].splitlines() if line.startswith("| ")]
    assert [row for row in rows[1:] if "`test_" not in row] == []
    assert len(names) > 12
