"""A run is an island: whatever is wrong with a file of one run's folder is one line, and the other runs are shown.

The kinds of damage are those that were found by measuring: files of another version, wrong types, things in a file's place.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from conftest import SCALE, Command
from damaged_runs import DAMAGES, WRONG, add_spool, change, documents, make_run

from clusterplan import History
from clusterplan.api.logs import find_log, find_logs
from clusterplan.errors import ClusterplanError
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.runs.state import State
from clusterplan.launcher.runs.status import read_status

FILES = ("run.json", "jobs.jsonl", "progress.jsonl", *documents(Path()))
EACH = 5 if SCALE == 1 else 1  # of the cases one in so many, but for `make test-slow`
# A file without a line is one into which nothing was written yet.
NO_DAMAGE = {("jobs.jsonl", "empty"), ("progress.jsonl", "empty")}
EVERY_DAMAGE = [pair for pair in product(FILES, DAMAGES) if pair not in NO_DAMAGE]
ESTIMATE = ("--model", "phi2", "--samples", "1000", "--batch-size", "8", "--gpus", "2", "--gpu", "h100-sxm")


class Cluster:
    """Runs of a history of their own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.history, self._number = folder / "runs", folder / "history.db", 0

    def make(self, name: str = "train", **facts: Any) -> Path:
        self._number += 1
        return make_run(self.root, self.history, name, self._number, **facts)

    def make_damaged(self, pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
        """Make a run per file and kind of damage; return these by the run's id."""
        runs = {}
        for file, kind in pairs:
            folder = self.make()
            DAMAGES[kind](folder / file)
            runs[folder.name] = (file, kind)
        return runs


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    return Cluster(tmp_path)


def each_in_its_own_way(count: int) -> Iterator[tuple[str, str]]:
    """Yield pairs of a file and a damage: all files and all kinds in turn."""
    step = len(DAMAGES) + 1  # to the next file, and the next kind
    return islice((EVERY_DAMAGE[at * step % len(EVERY_DAMAGE)] for at in range(count)), count)


def told(stderr: str, prefix: str) -> dict[str, int]:
    """How many lines there are on each run."""
    runs = [
        line.removeprefix(f"{prefix}: ").split(":")[0]
        for line in stderr.splitlines()
        if line.startswith(prefix)
    ]
    return {run: runs.count(run) for run in runs}


def test_of_200_runs_160_are_shown_and_each_of_the_40_damaged_ones_is_one_line(
    in_process: Command, cluster: Cluster
) -> None:
    pairs = list(each_in_its_own_way(40))
    assert len(set(pairs)) == 40
    damaged = cluster.make_damaged(pairs)
    whole = {cluster.make().name for _ in range(160)}
    add_spool(cluster.root / max(whole))
    one_line_each = dict.fromkeys(damaged, 1)

    shown = in_process("status", "--json", "train")
    assert whole <= {run["run"] for run in json.loads(shown.stdout)["runs"]}
    assert told(shown.stderr, "not read").keys() <= damaged.keys()
    essential = {
        run for run, (file, _) in damaged.items() if file in {"run.json", "status.json", "jobs.jsonl"}
    }
    assert essential <= told(shown.stderr, "not read").keys()

    listed = in_process("history", "list", "--json")
    assert whole <= {run["run"] for run in json.loads(listed.stdout)}
    assert told(listed.stderr, "not collected") == one_line_each

    again = "40 runs are still not collected: `clusterplan history check` names them"
    report = in_process("report", max(whole))
    assert (report.returncode, report.stderr.splitlines()) == (0, [again])
    estimate = in_process("estimate", *ESTIMATE)
    assert (estimate.returncode, again in estimate.stderr) == (0, True)
    assert told(estimate.stderr, "not collected") == {}
    assert told(in_process("history", "check").stderr, "not collected") == one_line_each

    rebuilt = in_process("history", "import", "--rebuild", "--json")
    assert whole <= set(json.loads(rebuilt.stdout)["runs"])
    assert told(rebuilt.stderr, "not imported") == one_line_each
    assert rebuilt.returncode == 1


@pytest.mark.parametrize("file", FILES)
def test_no_kind_of_damage_to_a_file_ends_a_command(in_process: Command, cluster: Cluster, file: str) -> None:
    pairs = [(file, kind) for kind in DAMAGES if (file, kind) not in NO_DAMAGE]
    damaged = cluster.make_damaged(pairs[::EACH])
    whole = cluster.make("whole").name
    listed = in_process("history", "list")
    assert told(listed.stderr, "not collected") == dict.fromkeys(damaged, 1)
    for command in (["status"], ["history", "accuracy"], ["history", "show", "whole"], ["advise", "whole"]):
        assert in_process(*command).returncode in {0, 1, 2}
    assert whole in in_process("status").stdout
    for run in list(damaged)[:SCALE]:
        for words in (["status", run], ["report", run], ["resume", run, "--dry-run"], ["cancel", run]):
            done = in_process(*words)
            assert done.returncode in {0, 1, 2}, (words, done.stderr)


@pytest.mark.parametrize("file", [*documents(Path()), "run.json", "jobs.jsonl", "progress.jsonl"])
def test_a_wrong_value_is_a_fault_of_its_file_or_none(cluster: Cluster, file: str) -> None:
    folder = cluster.make(user="ada", probe=False, shape_since_s=None)
    path = folder / file
    text = path.read_text()
    first = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    with History(cluster.history) as history:
        for key, value in list(product(first, WRONG))[::EACH]:
            path.write_text(text)
            change({key: value})(path)
            with suppress(ClusterplanError):
                collect_run(folder, history)
            with suppress(ClusterplanError):
                read_status(folder)
        path.write_text(text)
        collect_run(folder, history)
        assert history.fault(folder.name) is None


def test_a_fault_is_told_once_and_again_when_the_file_changes(in_process: Command, cluster: Cluster) -> None:
    folder = cluster.make()
    text = (folder / "launch.json").read_text()
    for content, fault in (("[]", "launch.json: a list is no object"), ("0", "launch.json: 0 is no object")):
        (folder / "launch.json").write_text(content)
        assert in_process("history", "list").stderr == f"not collected: {folder.name}: {fault}\n"
        again = "1 run is still not collected: `clusterplan history check` names it\n"
        assert in_process("history", "list").stderr == again
        assert in_process("history", "check").stderr == f"not collected: {folder.name}: {fault}\n"
    (folder / "launch.json").write_text(text)
    assert in_process("history", "list").stderr == ""
    assert in_process("history", "check").stderr == ""


def test_files_of_another_run_are_not_counted_as_this_one(in_process: Command, cluster: Cluster) -> None:
    """As after `cp -r`, or `rsync` into the wrong folder: one training would count twice."""
    folder, other = cluster.make("first"), cluster.make("second")
    (folder / "run.json").write_text((other / "run.json").read_text())
    done = in_process("history", "list")
    assert done.stderr == (
        f"not collected: {folder.name}: run.json: is that of {other.name}: give the folder that name\n"
    )
    assert other.name in done.stdout


def test_a_folder_of_another_version_is_read_as_far_as_it_can_be(
    in_process: Command, cluster: Cluster
) -> None:
    """An older one lacks keys, and a newer one has a state, a kind of error and keys that are not known here."""
    folder = cluster.make()
    launch = json.loads((folder / "launch.json").read_text())
    older = {key: launch[key] for key in launch if key not in {"stop_signal", "grace_s", "max_restarts"}}
    (folder / "launch.json").write_text(json.dumps(older))
    newer = {
        "state": "hibernated",
        "error_kind": "cosmic_ray",
        "node": "n1",
        "log": 0,
        "rank": 0,
        "moon": [1],
    }
    change(newer)(folder / "status.json")
    change({"moon": {}, "state": "frozen", "error_kind": "cosmic_ray", "outcome": "failed"})(
        folder / "tasks" / "7.0.0.json"
    )
    shown = in_process("status", "--json")
    assert (json.loads(shown.stdout)["runs"][0]["state"], shown.stderr) == ("hibernated", "")
    assert "hibernated" in in_process("status").stdout
    assert in_process("status", folder.name).returncode == 0
    listed = in_process("history", "list", "--json")
    assert (json.loads(listed.stdout)[0]["state"], listed.stderr) == ("hibernated", "")


def test_a_state_that_is_not_known_is_an_end() -> None:
    state = State("hibernated")
    assert (state, str(state), state in set(State)) == ("hibernated", "hibernated", False)


@pytest.mark.parametrize("state", ["completed", "failed"])
def test_without_its_list_of_jobs_a_run_keeps_its_end(
    in_process: Command, cluster: Cluster, state: str
) -> None:
    folder = cluster.make()
    (folder / "jobs.jsonl").unlink()
    change({"state": state, "node": "n1", "log": 0})(folder / "status.json")
    assert json.loads(in_process("status", "--json").stdout)["runs"][0]["state"] == state


@pytest.mark.parametrize("kind", ["FIFO", "device", "10 GB", "folder", "loop"])
def test_a_job_file_that_is_no_file_is_one_line(in_process: Command, tmp_path: Path, kind: str) -> None:
    job = tmp_path / "job.toml"
    job.write_text("")
    DAMAGES[kind](job)
    done = in_process("estimate", job)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert str(job) in done.stderr


@pytest.mark.parametrize("kind", ["FIFO", "device", "10 GB", "folder", "loop"])
@pytest.mark.parametrize(
    "file",
    [
        "logs/0.log",
        "submitit/7_0_log.err",
        "submitit/7.0.exit",
        "output/step_9.pt",
        "output/latest",
        "left_out.jsonl",
        "cancel.json",
    ],
)
def test_nothing_in_the_place_of_a_file_keeps_anybody_waiting(
    in_process: Command, cluster: Cluster, file: str, kind: str
) -> None:
    folder, whole = cluster.make(), cluster.make("whole").name
    (folder / "status.json").unlink()
    (folder / file).touch()
    DAMAGES[kind](folder / file)
    assert whole in in_process("status").stdout
    assert in_process("status", folder.name).returncode in {0, 1}
    assert in_process("resume", folder.name, "--dry-run").returncode in {1, 2}
    assert all(log.is_file() for log in [*find_logs(folder), find_log(folder)] if log)
    assert whole in in_process("history", "list").stdout


def test_a_folder_whose_name_is_no_text_is_one_line(in_process: Command, cluster: Cluster) -> None:
    folder, whole = cluster.make(), cluster.make("whole").name
    odd = folder.rename(folder.with_name("train-\udc9b"))
    (cluster.history.with_suffix(".runs") / odd.name).symlink_to(odd)
    for command in (["history", "list"], ["status"], ["history", "import"]):
        done = in_process(*command)
        assert done.returncode in {0, 1}
        assert "import" in command or whole in done.stdout


def test_a_run_that_was_given_up_and_goes_on_has_no_end(tmp_path: Path) -> None:
    """Its notes are those of now, and not of the time when it was given up."""
    path = tmp_path / "history.db"
    folder = make_run(tmp_path, path, "late")
    change({"state": "lost"})(folder / "status.json")
    with History(path) as history:
        collect_run(folder, history)
        assert history.has_ended(folder.name)
        (folder / "status.json").unlink()
        add_spool(folder)
        collect_run(folder, history)
        assert not history.has_ended(folder.name)
