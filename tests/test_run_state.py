"""The one state that follows from what is known of a run, and why a command failed."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from clusterplan.launcher.logs.errors import find_log_error
from clusterplan.launcher.run_folder.final_status import read_final_status, write_final_status
from clusterplan.launcher.run_folder.job_log import JobEntry
from clusterplan.launcher.run_folder.task_records import Attempt, TaskRecord
from clusterplan.launcher.runs.judge import judge_state
from clusterplan.launcher.runs.state import Evidence, State
from clusterplan.launcher.runs.waiting.queue_reasons import REASONS, explain_wait
from clusterplan.launcher.slurm.jobs import QueuedJob, parse_account, parse_queue

NIGHT = 1_795_600_000.0
NOTHING = Evidence(
    final_status=None,
    jobs=[JobEntry("slurm", "8", NIGHT)],
    tasks=[],
    exit_codes={},
    queued_job=None,
    slurm_answers=True,
    accounting=None,
    is_alive=None,
    cancel_requested_s=None,
)


def test_accounting_says_when_a_run_ended_not_who_asks() -> None:
    (job,) = parse_account(f"8|OUT_OF_MEMORY|0:125|2|{NIGHT + 60:.0f}|00:30:00|gpu1").values()
    state = judge_state(replace(NOTHING, accounting=job), NIGHT + 8 * 3600)
    assert (state.state, state.known_at) == (State.OUT_OF_MEMORY, NIGHT + 60)


def test_accounting_has_the_exit_code_that_nobody_else_has() -> None:
    (job,) = parse_account(f"8|FAILED|3:0|2|{NIGHT + 60:.0f}|00:30:00|gpu1").values()
    assert judge_state(replace(NOTHING, accounting=job), NIGHT + 61).exit_code == 3


@pytest.mark.parametrize("slurm", ["failed", "has forgotten it"])
def test_a_job_that_failed_before_the_run_began_says_why(slurm: str) -> None:
    (job,) = parse_account(f"8|FAILED|1:0|2|{NIGHT + 60:.0f}|00:30:00|gpu1").values()
    evidence = replace(
        NOTHING, exit_codes={Attempt("8", 0): 255}, slurmd_error="srun: unrecognized option '--x'"
    )
    state = judge_state(replace(evidence, accounting=job if slurm == "failed" else None), NIGHT + 100)
    assert (state.state, state.exit_code) == (State.FAILED, 255)
    assert state.reason == "exit code 255, before the run began: srun: unrecognized option '--x'"


def test_a_later_start_that_no_task_saw_counts() -> None:
    stopped = _task(2, "gpu2", NIGHT - 60, NIGHT - 50, "stopped")
    codes = {Attempt("8", 3): 1}
    error = "srun: error: Unable to create step for job 8: Invalid generic resource (gres) specification"
    evidence = replace(NOTHING, tasks=[stopped], exit_codes=codes, slurmd_error=error)
    state = judge_state(evidence, NIGHT)
    assert (state.state, state.exit_code) == (State.FAILED, 1)
    assert "Unable to create step" in state.reason


def test_a_job_that_failed_without_a_word_asks_for_its_folder() -> None:
    (job,) = parse_account(f"8|FAILED||2|{NIGHT + 60:.0f}|00:30:00|gpu1").values()
    assert (
        "check that its node can see the run folder"
        in judge_state(replace(NOTHING, accounting=job), NIGHT + 61).reason
    )


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [("gpu3", "node gpu3 failed"), ("gpu[1-4]", "one of gpu[1-4] failed"), ("", "its node failed")],
)
def test_the_node_that_failed_is_named_where_slurm_names_one(nodes: str, reason: str) -> None:
    (job,) = parse_account(f"8|NODE_FAIL|1:0|2|{NIGHT + 60:.0f}|00:30:00|{nodes}").values()
    assert judge_state(replace(NOTHING, accounting=job), NIGHT + 61).reason == reason


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        *REASONS.items(),
        ("job requeued in held state", REASONS["job requeued in held state"]),
        ("None", "just submitted"),
        ("", "just submitted"),
        ("(Priority)", "other jobs come first"),
        ("(launch failed requeued held)", REASONS["launch failed requeued held"]),
        ("ReqNodeNotAvail, UnavailableNodes:gpu[1-2]", "nodes it needs are down or reserved: gpu[1-2]"),
        ("ReqNodeNotAvail(Unavailable:gpu1)", "nodes it needs are down or reserved: gpu1"),
        ("A reason of a later Slurm, with a comma", "A reason of a later Slurm, with a comma"),
    ],
)
def test_a_waiting_job_says_why_in_plain_words(reason: str, words: str) -> None:
    (job,) = parse_queue(f"8|PENDING|N/A|N/A|1:00:00|gpu||{reason}")
    assert explain_wait(job, None, NIGHT) == words.replace("JOB", "8")


def waiting(reason: str, start_s: float) -> QueuedJob:
    (job,) = parse_queue(f"8|PENDING|{start_s:.0f}|N/A|1:00:00|gpu||{reason}")
    return job


def test_a_forecast_is_told_from_a_minute_on() -> None:
    words = "other jobs come first"
    assert (
        explain_wait(waiting("Priority", NIGHT + 7200), None, NIGHT)
        == f"{words}; Slurm expects it to start in 2h"
    )
    assert explain_wait(waiting("Priority", NIGHT + 5), None, NIGHT) == words


@pytest.mark.parametrize(
    "reason", ["JobHeldUser", "JobHeldAdmin", "job requeued in held state", "BadConstraints"]
)
def test_a_job_that_does_not_start_by_itself_has_no_forecast(reason: str) -> None:
    assert "expects" not in explain_wait(waiting(reason, NIGHT + 7200), None, NIGHT)


def test_a_begin_time_is_the_users_own_unless_the_job_was_requeued() -> None:
    """`begin = "now+2hours"` in the job file; sbatch(1)."""
    job = waiting("BeginTime", NIGHT + 7200)
    clock = f"{datetime.fromtimestamp(NIGHT + 7200).astimezone():%H:%M %Z}"
    assert clock in explain_wait(job, None, NIGHT)
    task = TaskRecord(
        "8", 0, 0, 1, "n", "n", 1, "1", NIGHT, NIGHT, will_restart=True, reason="the time limit was near"
    )
    assert explain_wait(job, task, NIGHT) == (
        "restarts by itself: the time limit was near; Slurm starts a job again at the earliest two minutes after its requeue"
    )


def test_a_deadline_is_no_time_limit() -> None:
    (job,) = parse_account(f"8|DEADLINE|0:0|Unknown|{NIGHT + 60:.0f}|00:30:00|None assigned").values()
    state = judge_state(replace(NOTHING, accounting=job), NIGHT + 61)
    assert (state.state, state.reason) == (State.CANCELLED, "its deadline passed before it began")


def test_a_run_that_is_being_submitted_is_not_lost_yet() -> None:
    fresh = replace(NOTHING, jobs=[], began_s=NIGHT)
    assert judge_state(fresh, NIGHT + 10).state is State.PENDING
    assert judge_state(fresh, NIGHT + 1000).state is State.LOST


def test_a_guess_gives_way_to_the_truth_and_not_the_other_way_round(tmp_path: Path) -> None:
    write_final_status(tmp_path, "lost", None)
    write_final_status(tmp_path, "completed", 0)
    write_final_status(tmp_path, "lost", None)
    final = read_final_status(tmp_path)
    assert final is not None
    assert final.state == "completed"
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (
            "srun: unrecognized option '--x'\nTry \"srun --help\" for more information",
            "srun: unrecognized option '--x'",
        ),
        (
            "CUDA out of memory at batch 64, trying 32\nstep 5\nValueError: labels missing",
            "ValueError: labels missing",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory.\ntorch.distributed.elastic.errors.ChildFailedError:",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory.\ntorch.distributed.DistBackendError: NCCL error: remote process exited",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
        (
            "ValueError: no\nslurmstepd: error: Detected 1 oom_kill event",
            "slurmstepd: error: Detected 1 oom_kill event",
        ),
        ("ChildFailedError: rank 1", "ChildFailedError: rank 1"),
        ("going well\nfatal: no such file", "fatal: no such file"),
        ("going well", "going well"),
        ("", None),
    ],
)
def test_the_line_that_says_why(log: str, why: str | None) -> None:
    assert find_log_error(log).line == why


def _task(restart: int, node: str, began_s: float, beat_s: float, outcome: str | None = None) -> TaskRecord:
    return TaskRecord("8", restart, 0, 1, node, "h", 1, "1", began_s, beat_s, outcome=outcome)


@pytest.mark.parametrize(
    ("queue", "tasks", "reason"),
    [
        # fairchem#777: requeued on NODE_FAIL while the processes live on, so the steps go on in a pending run
        (
            "PENDING",
            [_task(0, "gpu2", -300, -5)],
            "waiting for nodes to become free; an earlier start may still run on gpu2",
        ),
        ("PENDING", [_task(0, "gpu2", -300, -5, "stopped")], "waiting for nodes to become free"),
        ("PENDING", [_task(0, "gpu2", -300, -40)], "waiting for nodes to become free"),
        (
            "RUNNING",
            [_task(0, "gpu2", -300, -5), _task(1, "gpu3", -30, -1)],
            "an earlier start may still run on gpu2",
        ),
        ("RUNNING", [_task(0, "gpu2", -300, -40), _task(1, "gpu3", -30, -1)], ""),
        ("RUNNING", [_task(0, "gpu2", -300, -5, "stopped"), _task(1, "gpu3", -30, -1)], ""),
    ],
)
def test_an_earlier_start_that_lives_on_is_told_of(queue: str, tasks: list[TaskRecord], reason: str) -> None:
    now = [replace(task, began_s=NIGHT + task.began_s, beat_s=NIGHT + task.beat_s) for task in tasks]
    (job,) = parse_queue(f"8|{queue}|N/A|N/A|1:00:00|gpu||Resources")
    assert judge_state(replace(NOTHING, queued_job=job, tasks=now), NIGHT).reason == reason
