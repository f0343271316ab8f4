"""Commands over many runs, and over long ones: what is damaged does not hide the others, and nothing is read in vain."""

import json
import os
import subprocess
from datetime import UTC, datetime

import pytest

from clusterplan.launcher.jobs import put_job
from clusterplan.launcher.run_folder import create, register, write_json

T0 = 1_763_900_000.0


class Runs:
    """Runs of a history of their own, as `submit` leaves them."""

    def __init__(self, folder, run):
        self.folder, self.history, self._run = folder, folder / "history.db", run

    def made(self, name, *, state="completed", **facts):
        known = {"kind": "submit", "command": ["train"], "began_s": T0, **facts}
        folder = create(name, self.folder / "runs", datetime.fromtimestamp(T0, UTC), known)
        put_job(folder, "local", "7")
        if state:
            write_json(folder / "status.json", {"state": state, "exit_code": 0, "ended_s": T0 + 9})
        register(folder, self.history)
        return folder

    def __call__(self, *args, **more):
        return self._run(*args, env=os.environ | {"CLUSTERPLAN_HISTORY": str(self.history)}, **more)

    def states(self):
        told = self("status", "--json")
        assert told.returncode == 0, told.stderr
        return {run["run"]: run["state"] for run in json.loads(told.stdout)["runs"]}


@pytest.fixture
def runs(clusterplan, tmp_path):
    return Runs(tmp_path, clusterplan)


@pytest.mark.parametrize("torn", ['{"executor": "slurm", "job"', '{"executor": "slurm"}', "\xff}"])
def test_a_torn_line_of_a_runs_jobs_hides_no_run(runs, torn):
    damaged, whole = runs.made("damaged"), runs.made("whole")
    with (damaged / "jobs.jsonl").open("a", encoding="latin-1") as jobs:
        jobs.write(torn + "\n")
    assert runs.states() == {damaged.name: "completed", whole.name: "completed"}


def test_a_file_that_cannot_be_written_is_named(runs):
    run = runs.made("open", state=None)
    (run / "cancel.json").mkdir()
    done = runs("cancel", "open")
    assert (done.returncode, done.stderr) == (1, f"Error: {run / 'cancel.json'}: Is a directory\n")


def test_a_working_folder_that_is_gone_is_said(runs):
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
    assert "the folder this was run in is not there any more" in done.stderr
