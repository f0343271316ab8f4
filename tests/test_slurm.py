"""Asking a real Slurm, without accounting, that forgets, is down, or hangs."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster

from clusterplan.errors import SlurmRefused, SlurmUnavailable
from clusterplan.launcher.node.stop.slurm_reason import parse_slurmd_state
from clusterplan.launcher.slurm import client as asking
from clusterplan.launcher.slurm.jobs import JobFacts, parse_account, parse_job, parse_queue
from clusterplan.launcher.slurm.nodes import parse_nodes

# As sacct of a cluster with slurmdbd prints it.
SACCT = """\
812|COMPLETED|0:0|1795610550|1795614150|02:00:00|gpu[1-2]
813|OUT_OF_MEMORY|0:125|1795610550|1795610950|02:00:00|gpu1
814_3|CANCELLED by 1000|0:0|Unknown|Unknown|02:00:00|None assigned
815|NODE_FAIL|1:0|1795610550|1795610950|UNLIMITED|gpu3
"""


@pytest.mark.parametrize(
    ("why", "state"),
    [
        ("DUE TO PREEMPTION ", "PREEMPTED"),
        ("DUE TO TIME LIMIT ", "TIMEOUT"),
        ("DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ", "NODE_FAIL"),
        ("DUE TO JOB REQUEUE ", "REQUEUED"),
        ("", "CANCELLED"),
    ],
)
def test_the_daemon_says_why_it_ends_a_job(why: str, state: str) -> None:
    said = "error: *** STEP 3.0 ON gpu1 CANCELLED AT 2026-11-25T14:24:34 ***\n"
    said += f"slurmstepd-gpu1: error: *** JOB 3 ON gpu1 CANCELLED AT 2026-11-25T14:24:35 {why}***\n"
    assert parse_slurmd_state(f"{said}srun: got SIGCONT\n") == state


def test_a_step_that_is_ended_because_a_task_failed_says_nothing_of_its_job() -> None:
    assert parse_slurmd_state("error: *** STEP 3.0 ON gpu1 CANCELLED AT 2026-11-25T14:24:34 ***\n") is None


def queued(job_id: Any) -> dict[str, Any]:
    return {job.job_id: job for job in asking.read_queue([job_id])}


def test_a_pending_job_has_its_reason_and_limit(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--hold", "--time=90", command="true")
    job = queued(job_id)[job_id]
    assert (job.state, job.reason, job.limit_s, job.partition) == ("PENDING", "JobHeldUser", 5400, "long")
    assert (job.start_s, job.nodes) == (None, "")


def test_a_running_job_has_its_nodes_and_its_end(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--nodes=2", "--time=10", command="sleep 300")
    slurm.wait_for(job_id, "RUNNING")
    job = queued(job_id)[job_id]
    assert job.nodes == "gpu[1-2]"
    assert job.end_s - job.start_s == 600


def test_all_jobs_of_the_user_are_asked_for_at_once(slurm: Cluster) -> None:
    ids = {slurm.sbatch("--hold", command="true") for _ in range(3)}
    assert ids <= {job.job_id for job in asking.read_queue()}


def test_each_element_of_an_array_is_a_job(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--hold", "--array=0-3", command="true")
    assert set(queued(job_id)) == {f"{job_id}_{index}" for index in range(4)}
    assert asking.read_job(f"{job_id}_2").job_id == f"{job_id}_2"


def test_a_forgotten_job_is_absent_alone_and_among_others(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--hold", command="true")
    assert queued("999999") == {}
    assert asking.read_job("999999") is None
    assert [job.job_id for job in asking.read_queue(["999999", job_id, "no id"])] == [job_id]
    asking.cancel_jobs("999999")


def test_the_settings_of_a_users_shell_do_not_matter(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SQUEUE_FORMAT", "%j")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    job_id = slurm.sbatch("--hold", command="true")
    assert queued(job_id)[job_id].state == "PENDING"


def test_an_ended_job_has_exit_codes(slurm: Cluster) -> None:
    job_id = slurm.sbatch(command="srun sh -c 'exit 7'; exit 3")
    slurm.wait_for(job_id, "FAILED")
    job = asking.read_job(job_id)
    assert (job.state, job.exit_code) == ("FAILED", 3)


def test_a_comment_cannot_pass_for_a_state(slurm: Cluster) -> None:
    name = "--job-name=x JobState=COMPLETED ExitCode=9:9"
    job_id = slurm.sbatch("--hold", name, "--comment=x Restarts=7", command="true")
    job = asking.read_job(job_id)
    assert (job.state, job.exit_code, job.restarts) == ("PENDING", 0, 0)


def test_a_requeued_job_counts_its_restarts(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--requeue", command="sleep 300")
    slurm.wait_for(job_id, "RUNNING")
    asking.requeue(job_id)
    slurm.wait_for(job_id, "PENDING")
    assert (asking.read_job(job_id).restarts, asking.read_job(job_id).requeue) == (1, True)


def test_slurms_no_is_passed_on(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--hold", command="true")
    with pytest.raises(SlurmRefused, match="Job is pending execution"):
        asking.requeue(job_id)


def test_a_cancelled_job_is_cancelled(slurm: Cluster) -> None:
    job_id = slurm.sbatch("--hold", command="true")
    asking.cancel_jobs(job_id)
    slurm.wait_for(job_id, "CANCELLED")


@pytest.mark.usefixtures("slurm")
def test_there_is_no_accounting() -> None:
    asking._accounting_answers.cache_clear()
    assert asking.read_accounting(["1"]) is None


@pytest.mark.usefixtures("slurm")
def test_the_cluster_tells_its_settings() -> None:
    settings = asking.read_settings()
    assert (settings.cluster, settings.requeue, settings.max_array_size) == ("test", True, 1001)
    assert settings.preempt_type == "preempt/partition_prio"


@pytest.mark.usefixtures("slurm")
def test_the_partitions_tell_their_limits() -> None:
    partitions = {p.name: p for p in asking.read_partitions()}
    assert [p.name for p in partitions.values() if p.default] == ["long"]
    assert (partitions["short"].limit_s, partitions["long"].default_limit_s) == (120, 1800)
    assert (partitions["preempt"].preempt_mode, partitions["long"].preempt_mode) == ("REQUEUE", "OFF")


@pytest.mark.usefixtures("slurm")
def test_the_nodes_tell_their_gpus() -> None:
    nodes = {node.name: node for node in asking.read_nodes()}
    assert nodes["gpu1"].partitions == ("grace", "long", "preempt", "short")
    assert nodes["gpu4"].gpus == (("v100", 8),)
    assert (nodes["gpu1"].cpus, nodes["gpu1"].memory_bytes) == (16, 64000 * 2**20)


@pytest.mark.usefixtures("slurm")
def test_a_forecast_has_a_start_or_a_refusal() -> None:
    fits = asking.forecast_start(["--nodes=2", "--gpus-per-node=a100:8"])
    assert fits.start_s > time.time() - 60
    assert (fits.nodes, fits.refusal) == ("gpu[1-2]", None)
    assert asking.forecast_start(["--nodes=4", "--gpus-per-node=a100:8"]).refusal == (
        "Requested node configuration is not available"
    )
    assert asking.forecast_start(["--partition=no such"]).refusal == "Invalid partition name specified"


def test_a_controller_that_is_down_is_said_to_be(slurm: Cluster) -> None:
    with slurm.without("slurmctld"), pytest.raises(SlurmUnavailable, match="does not answer: scontrol says"):
        asking.read_settings()


def test_a_hung_controller_does_not_hang_us(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.5)
    with slurm.hung():
        for question in (asking.read_queue, asking.read_partitions, lambda: asking.forecast_start([])):
            with pytest.raises(SlurmUnavailable, match="said nothing for"):
                question()


@pytest.mark.usefixtures("slurm")
def test_what_a_command_complains_of_while_it_hangs_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As after the end of a test Slurm, in a shell where it still is the one.
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "gone.conf"))
    monkeypatch.setattr(asking, "TIMEOUT_S", 1.0)
    with pytest.raises(SlurmUnavailable, match=r"said nothing but '.*cannot stat file .*gone\.conf"):
        asking.read_settings()


def test_a_job_of_a_job_does_not_take_its_shape(slurm: Cluster) -> None:
    # Under the outer job's environment sbatch would ask for its GPUs, and srun fail.
    script = (
        "import os, subprocess; from clusterplan.launcher.slurm.client import clean_environment as clean; "
        "subprocess.run(['sbatch', '--output=/dev/null', '--job-name=inner', '--wrap', "
        "'srun true'], env=clean(os.environ), check=True)"
    )
    outer = slurm.sbatch("--nodes=2", "--gpus-per-node=2", command=f'{sys.executable} -c "{script}"')
    slurm.wait_for(outer, "COMPLETED")
    inner = slurm.log(outer).split()[-1]
    slurm.wait_for(inner, "COMPLETED")
    assert asking.read_job(inner).nodes in {"gpu1", "gpu2", "gpu3"}


def test_without_slurm_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not asking.is_available()
    with pytest.raises(SlurmUnavailable, match="squeue is not on PATH") as raised:
        asking.read_queue(["1"])
    assert raised.value.exit_code == 3


@pytest.mark.usefixtures("slurm")
def test_slurms_configuration_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.5)  # its commands wait a minute for the file
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    with pytest.raises(SlurmUnavailable, match="does not answer"):
        asking.read_queue()


def test_a_recorded_sacct_is_read() -> None:
    jobs = parse_account(SACCT)
    assert jobs["812"] == JobFacts(
        "812", "COMPLETED", "", "gpu[1-2]", 0, None, None, 1795610550, 1795614150, 7200
    )
    assert jobs["813"].state == "OUT_OF_MEMORY"
    assert (jobs["814_3"].state, jobs["814_3"].reason, jobs["814_3"].nodes) == ("CANCELLED", "by 1000", "")
    assert (jobs["815"].limit_s, jobs["815"].end_s) == (None, 1795610950)


def test_sacct_is_asked_where_it_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorded = tmp_path / "sacct"
    recorded.write_text(f"#!/bin/sh\ncat <<'END'\n{SACCT}END\n", encoding="utf-8")
    recorded.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asking._accounting_answers.cache_clear()
    assert set(asking.read_accounting(["812", "813"])) == {"812", "813", "814_3", "815"}
    asking._accounting_answers.cache_clear()


@pytest.mark.parametrize("command", ["sacct", "squeue"])
def test_more_jobs_than_an_argument_holds_are_asked_for_one_after_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    asked = tmp_path / "asked"
    answers = tmp_path / command
    answers.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n', encoding="utf-8")
    answers.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asking._accounting_answers.cache_clear()
    jobs = {f"1234567_{i}" for i in range(12_000)}
    assert not (asking.read_accounting(jobs) if command == "sacct" else asking.read_queue(jobs))
    told = [line.partition("--jobs=")[2].split(",") for line in asked.read_text().splitlines()]
    assert {job for some in told for job in some} - {
        "1"
    } == jobs  # which it is asked for to see if it answers
    asking._accounting_answers.cache_clear()


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", ()),
        ("gpu:8", (("", 8),)),
        ("gpu:nvidia_a100-sxm4-80gb:4(S:0-1)", (("nvidia_a100-sxm4-80gb", 4),)),
        ("gpu:a100:2(S:0),gpu:a100:2(S:1),mps:400", (("a100", 4),)),
        ("gpu:h100:4,gpu:1g.10gb:7", (("h100", 4), ("1g.10gb", 7))),
        ("craynetwork:4", ()),
    ],
)
def test_gpus_are_read_from_gres(gres: str, gpus: tuple[Any, ...]) -> None:
    assert parse_nodes(f"n1|gpu|mixed-|64|512000|{gres}")[0].gpus == gpus


def test_text_that_is_no_answer_gives_nothing() -> None:
    for text in ("", "garbage\n", "a|b\n", "\x00"):
        assert (parse_queue(text), parse_account(text), parse_nodes(text), parse_job(text)) == (
            [],
            {},
            [],
            None,
        )
