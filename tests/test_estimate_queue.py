"""`estimate --queue` and pending runs, beside Slurm's commands as scripts that print a recorded queue."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Command
from recorded_queue import CONFIG, JOBS, NODES, NOW_S, PARTITIONS, RESERVATIONS

from clusterplan.estimator.history.runs import History
from clusterplan.estimator.queue.forecast import forecast_waits
from clusterplan.estimator.queue.shape_start import ShapeStart
from clusterplan.estimator.queue.state import PendingJob, Request
from clusterplan.launcher.forecast.request import find_obstacle, queue_request
from clusterplan.launcher.forecast.waiting import Way, describe_waiting
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.slurm.queue.reader import build_queue_state
from clusterplan.launcher.submission.request import SlurmRequest
from clusterplan.render.estimate.start_text import start_rows

JOB = "estimate --queue --samples 400000 --batch-size 32 --samples-per-s-per-gpu 50 --gpus".split()
SINFO = (
    "".join(f"gpu{i}|long|mixed|16|64000|gpu:a100:8\n" for i in (1, 2, 3))
    + "gpu4|old|mixed|16|64000|gpu:v100:8\n"
)
OWN = (
    f"99|PENDING|long|1|1|1|1|1000M|gres:gpu:2|N/A|N/A|cpu=1|5:00:00|N/A|{NOW_S:.0f}|{NOW_S:.0f}|root|||(null)|(null)"
    "|OK|(null)|Priority|\n"
)
STATE = build_queue_state(NOW_S, JOBS, NODES, PARTITIONS, RESERVATIONS, CONFIG)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands of a site, in a folder that is all of PATH; each prints the file of its name."""
    folder = tmp_path / "site"
    folder.mkdir()
    shift_s = round(time.time() - NOW_S)
    moved = re.sub(r"\b1795\d{6}\b", lambda match: str(int(match[0]) + shift_s), JOBS)
    texts = {
        "squeue": moved,
        "own": "99|PENDING|N/A|N/A|5:00:00|long||Priority\n",
        "sinfo": SINFO,
        "node": NODES,
        "partition": PARTITIONS,
        "reservation": "",
        "config": f"ClusterName = west\nSLURM_VERSION = 22.05.8\n{CONFIG}",
        "sacct": "",
    }
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    (folder / "sbatch.txt").write_text(
        "sbatch: Job 9 to start at 1795904235 using 1 processors on nodes gpu1 in partition long\n",
        encoding="utf-8",
    )
    shown = f"while read -r line; do printf '%s\\n' \"$line\"; done < {folder}"
    for name in ("sinfo", "sacct"):
        write_command(folder, name, f"{shown}/{name}.txt")
    write_command(
        folder, "squeue", f'name=own; case "$*" in *--Format*) name=squeue; esac; {shown}/"$name".txt'
    )
    write_command(folder, "scontrol", f'for last; do :; done; {shown}/"$last".txt')
    write_command(
        folder, "sbatch", f"{{ {shown}/sbatch.txt; }} >&2; exit $(( $(grep -c failure {folder}/sbatch.txt) ))"
    )
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def write_command(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.usefixtures("site")
def test_shapes_are_ranked_by_their_end(in_process: Command) -> None:
    done = in_process(*JOB, "2,8,16")
    assert done.returncode == 0, done.stderr
    assert "ends first: 8 GPUs" in done.stdout
    assert "starts in" in done.stdout
    assert "free now: 2 GPUs for up to 29m" in done.stdout
    assert "starts are by limits" in done.stdout


@pytest.mark.usefixtures("site")
def test_the_json_has_waits_in_seconds_and_times_in_utc(in_process: Command) -> None:
    answer = json.loads(in_process(*JOB, "2,8", "--json").stdout)
    assert answer["ends_first"] == 1
    small, large = (shape["start"] for shape in answer["shapes"])
    assert (small["basis"], small["wait_s"], small["jobs_before"]) == ("limits", None, 15)
    assert 1700 < small["free_now_for_s"] < 1800
    assert large["end_utc"].endswith("Z")
    assert not large["free_now"]


@pytest.mark.usefixtures("site")
def test_a_deadline_counts_the_wait(in_process: Command) -> None:
    without = [word for word in JOB if word != "--queue"]
    assert (
        json.loads(in_process(*without, "2", "--deadline", "2h", "--json").stdout)["meets"]["deadline"]
        == "yes"
    )
    assert json.loads(in_process(*JOB, "2", "--deadline", "2h", "--json").stdout)["meets"]["deadline"] == "no"


def test_accounting_gives_a_range(in_process: Command, site: Path) -> None:
    ended = "".join(f"root|00:{minutes:02}:00|01:00:00\n" for minutes in range(2, 60))
    (site / "sacct.txt").write_text(ended, encoding="utf-8")
    start = json.loads(in_process(*JOB, "2", "--json").stdout)["start"]
    assert start["basis"] == "usage"
    assert start["wait_s"]["p10"] <= start["wait_s"]["p50"] <= start["wait_s"]["p90"]
    assert start["wait_s"]["p50"] < start["wait_by_limits_s"]
    assert "what the jobs of the last two days used" in in_process(*JOB, "2").stdout


def test_what_slurm_refuses_never_starts(in_process: Command, site: Path) -> None:
    fault = "allocation failure: Requested node configuration is not available"
    (site / "sbatch.txt").write_text(f"{fault}\n", encoding="utf-8")
    done = in_process(*JOB, "2")
    assert "starts     never" in done.stdout
    assert "Requested node configuration is not available" in done.stdout


def test_slurm_is_asked_with_the_account_of_the_user(
    in_process: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    write_command(site, "sbatch", f'echo "$@" > {site}/asked; echo "allocation failure: none" >&2; exit 1')
    in_process(*JOB, "2")
    asked = (site / "asked").read_text(encoding="utf-8")
    assert "--test-only --account=lab --nodes=1 --gpus-per-node=a100:2" in asked
    assert "--deadline" not in asked


def test_a_site_that_hides_jobs_is_said(in_process: Command, site: Path) -> None:
    (site / "squeue.txt").write_text("", encoding="utf-8")
    (site / "config.txt").write_text("ClusterName = west\nPrivateData = jobs\n", encoding="utf-8")
    shown = " ".join(in_process(*JOB, "2").stdout.split())
    assert "this site hides the jobs of others" in shown
    assert "22 GPUs of theirs" in shown


@pytest.mark.usefixtures("site")
def test_twenty_runs_of_the_cluster_correct_the_start(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    with History(tmp_path / "history.db") as history, history.writing():
        for i in range(20):
            facts = {"run": f"r{i}", "folder": "", "state": "completed", "began_s": 0.0, "started_s": 1740.0}
            history.put_run(facts)
            kept = {"made_s": 0.0, "basis": "limits", "by_limits_s": 3540.0, "cluster": "west"}
            history.put_start_forecast(f"r{i}", kept)
    start = json.loads(in_process(*JOB, "2", "--json").stdout)["start"]
    assert start["corrected_by_runs"] == 20
    assert start["wait_s"]["p50"] == pytest.approx(start["wait_by_limits_s"] / 2, rel=0.02)
    assert "corrected by what came of the last 20 forecasts" in in_process(*JOB, "2").stdout


def test_without_slurm_there_is_one_line(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = in_process(*JOB, "2")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: --queue: sbatch is not found here")
    assert done.stderr.count("\n") == 1


def test_a_controller_that_does_not_answer_is_said(in_process: Command, site: Path) -> None:
    write_command(
        site, "scontrol", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1"
    )
    done = in_process(*JOB, "2")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1


def test_status_says_when_a_pending_run_would_start_and_what_helps(
    in_process: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site / "squeue.txt").open("a", encoding="utf-8") as queue_file:
        queue_file.write(OWN)
    folder = tmp_path / "net-20261128T120000-abcd"
    (folder / "tasks").mkdir(parents=True)
    facts = {"run": folder.name, "kind": "submit", "name": "net", "began_s": 1000.0, "executor": "slurm"}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    append_job(folder, "slurm", "99", "west")
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    shown = " ".join(in_process("status", folder).stdout.split())
    assert "other jobs come first" in shown
    assert "15 jobs before it in partition long; by limits, usually sooner" in shown
    assert "scontrol update JobId=99 TimeLimit=29 it would start now; it has to end by then" in shown
    queue = json.loads(in_process("status", folder, "--json").stdout)["runs"][0]["queue"]
    assert queue["jobs_before"] == 15
    assert {"change": "scontrol update JobId=99 TimeLimit=29", "wait_s": 0.0, "shortens": True} in queue[
        "sooner"
    ]


def pending(gpus: int, limit_s: float, nodes: int = 1) -> PendingJob:
    return PendingJob("99", "ann", Request(nodes, gpus, limit_s, ("long",)), 1.0, NOW_S)


def test_a_pending_job_is_told_of_the_hole_that_it_would_fit() -> None:
    waiting = describe_waiting(STATE, pending(2, 5 * 3600))
    assert waiting.start.forecast.by_limits_s > 0
    assert Way("scontrol update JobId=99 TimeLimit=29", 0, shortens=True) in waiting.ways


def test_a_pending_job_is_told_of_fewer_gpus_and_of_another_partition() -> None:
    texts = [way.text for way in describe_waiting(STATE, pending(5, 3600)).ways]
    assert "scontrol update JobId=99 Partition=old" in texts
    texts = [way.text for way in describe_waiting(STATE, pending(4, 1200)).ways]
    assert "--gpus 2 in place of 4" in texts


def test_no_job_is_sent_to_a_partition_that_is_preempted_or_not_open() -> None:
    closed = PARTITIONS.replace("PartitionName=old", "PartitionName=old AllowAccounts=lab")
    state = build_queue_state(NOW_S, JOBS, NODES, closed, RESERVATIONS, CONFIG)
    texts = [way.text for way in describe_waiting(state, pending(2, 5 * 3600)).ways]
    assert not any("Partition=" in text for text in texts)


def test_an_element_of_a_sweep_waits_for_those_before_it() -> None:
    sweep = replace(pending(2, 600), count=5, at_once=2)
    waits = [describe_waiting(STATE, sweep, ahead=ahead).start.forecast.by_limits_s for ahead in range(3)]
    assert waits == [0, 597, 600]  # in the hole, when job 3 ends, and when the first element has ended


def test_a_job_that_starts_at_once_needs_no_advice() -> None:
    waiting = describe_waiting(STATE, pending(2, 600))
    assert (waiting.start.forecast.by_limits_s, waiting.ways) == (0, ())


def test_time_min_is_what_uses_the_hole() -> None:
    wanted = Request(1, 2, 5 * 3600, ("long",), time_min_s=1200)
    (forecast,) = forecast_waits(STATE, [wanted])
    start = ShapeStart(NOW_S, wanted, forecast)
    rows = {name: f"{answer}; {remark}" for name, answer, remark in start_rows(start)}
    assert rows["starts"].startswith("now")
    assert "2 GPUs for up to 29m 55s; so --time-min lets Slurm start it there" in rows["free now"]


def test_options_of_sbatch_become_what_the_queue_is_asked_for() -> None:
    further = (
        ("cpus-per-task", 4),
        ("mem", "8G"),
        ("exclusive", True),
        ("constraint", "a&b"),
        ("nodelist", "gpu[1-2]"),
    )
    request = SlurmRequest(2, 8, 90, partition="long", time="01:00:00", further=further, tasks_per_node=2)
    wanted = queue_request(request, STATE)
    assert (wanted.nodes, wanted.gpus, wanted.limit_s, wanted.cpus, wanted.memory_mib) == (
        2,
        4,
        3600,
        8,
        8192,
    )
    assert (wanted.exclusive, wanted.features, wanted.only_nodes) == (
        True,
        frozenset("ab"),
        frozenset({"gpu1", "gpu2"}),
    )


def test_a_job_without_partition_and_time_has_those_of_the_cluster() -> None:
    wanted = queue_request(SlurmRequest(1, 1, 90), STATE)
    assert (wanted.partitions, wanted.limit_s) == (("long",), 86400)


def test_a_partition_that_is_down_or_unknown_never_starts_a_job() -> None:
    wanted = queue_request(SlurmRequest(1, 1, 90), STATE)
    assert find_obstacle(wanted, STATE) is None
    assert "no partition 'fast'" in find_obstacle(replace(wanted, partitions=("fast",)), STATE)
    down = {**STATE.partitions, "long": replace(STATE.partitions["long"], is_up=False)}
    assert "'long' is down" in find_obstacle(wanted, replace(STATE, partitions=down))
