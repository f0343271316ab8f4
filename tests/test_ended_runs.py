"""What is said of a run that ended, or was started again: the remedy, and why it restarted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clusterplan.launcher.logs.errors import ErrorKind
from clusterplan.launcher.logs.failure import Failure
from clusterplan.launcher.run_folder.progress.progress import Progress
from clusterplan.launcher.run_folder.records.run_facts import RunFacts
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.runs.explain.remedy import EndedFacts, Remedy, find_remedy
from clusterplan.launcher.runs.explain.restarts import Restart, list_restarts
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.launcher.runs.waiting.queue_reasons import REASONS
from clusterplan.render.layout import Page
from clusterplan.render.runs.status_text import render_statuses

PLACEHOLDERS = ["python", "train.py", "{batch_size}", "{accumulation}"]
SHAPE = {"batch_size": 8, "accumulation": 2}
OUT_OF_MEMORY = RunState(
    State.OUT_OF_MEMORY, "exit code 1: torch.OutOfMemoryError: CUDA out of memory.", 0.0, 1
)


def find(state: RunState, command: Sequence[str] = PLACEHOLDERS, **more: Any) -> Remedy:
    run = RunFacts(command=tuple(command), shape=more.pop("shape", SHAPE))
    found = find_remedy("ddp", state, EndedFacts(run, **{"has_checkpoint": True, **more}))
    assert found is not None
    return found


def failed(error: str, kind: ErrorKind) -> RunState:
    failure = Failure(1, 1, "gpu2", 1, error, kind, 0.0)
    return RunState(State.FAILED, f"rank 1 on gpu2, exit code 1: {error}", 0.0, 1, failure=failure)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (SHAPE, "--batch-size 4 --accumulation 4"),
        ({"batch_size": 9, "accumulation": 1}, "--batch-size 3 --accumulation 3"),
        ({"batch_size": 1, "accumulation": 4}, ""),
    ],
)
def test_out_of_memory_takes_a_smaller_micro_batch_and_the_same_steps(
    shape: dict[str, int], options: str
) -> None:
    assert find(OUT_OF_MEMORY, shape=shape).command == f"clusterplan resume ddp {options}".rstrip()


@pytest.mark.parametrize(
    ("command", "options"),
    [
        # https://huggingface.co/docs/transformers/main_classes/trainer
        ("train.py --per_device_train_batch_size 8", "--batch-size 4 --accumulation 2"),
        (
            "train.py --per_device_train_batch_size=8 --gradient_accumulation_steps 4",
            "--batch-size 4 --accumulation 8",
        ),
        (
            "train.py --micro-batch-size 8",
            "--batch-size 4",
        ),  # Megatron-LM accumulates what the global batch lacks
        ("train.py --lr 1e-4", "-- python train.py --lr 1e-4"),
    ],
)
def test_the_numbers_of_a_remedy_are_those_of_the_command(command: str, options: str) -> None:
    remedy = find(OUT_OF_MEMORY, ["python", *command.split()], shape={"batch_size": 1, "accumulation": 1})
    assert remedy.command == f"clusterplan resume ddp {options}"


def test_each_end_has_its_own_remedy() -> None:
    memory = RunState(State.OUT_OF_MEMORY, "slurmstepd: error: Detected 1 oom_kill event", 0.0, 1)
    assert find(memory).command.endswith("--slurm mem=0")
    assert find(RunState(State.FAILED, "", 0.0, 137), memory_option="mem=8G").command.endswith(
        "--slurm mem=8G"
    )
    node = RunState(State.NODE_FAILURE, "node gpu2 failed", 0.0)
    assert find(node, nodes=("gpu2",)).command.endswith("--slurm exclude=gpu2")
    assert (
        "write checkpoints into {output}"
        in find(RunState(State.TIMED_OUT, "", 0.0), has_checkpoint=False).text
    )
    full = find(failed("No space left on device", ErrorKind.DISK_FULL))
    assert full.text.startswith("the disk is full")
    cancelled = find(RunState(State.CANCELLED, "", 0.0), has_checkpoint=False)
    assert cancelled.command == "clusterplan resume ddp --from-start"
    done = RunState(State.COMPLETED, "", 0.0)
    assert find_remedy("ddp", done, EndedFacts()) is None


def test_a_run_without_a_checkpoint_gets_the_time_that_all_its_steps_take() -> None:
    progress = Progress(150, 3000, 10.0)
    remedy = find(RunState(State.TIMED_OUT, "", 0.0), has_checkpoint=False, progress=progress)
    assert remedy.command == "clusterplan resume ddp --time 7m --from-start"
    assert "5m at its last speed" in remedy.text


def test_a_loop_that_stopped_early_may_go_on() -> None:
    done, progress = RunState(State.COMPLETED, "", 0.0), Progress(60, 300, least_steps=300)
    assert find(done, progress=progress, step=60).text == "if it was to train on: it goes on from step 60"


def test_a_run_that_never_starts_is_cancelled() -> None:
    waiting = RunState(State.PENDING, REASONS["PartitionTimeLimit"], 0.0)
    assert find(waiting).command == "clusterplan cancel ddp"
    assert find_remedy("ddp", RunState(State.PENDING, REASONS["Priority"], 0.0), EndedFacts()) is None


def task(restart: int, rank: int, node: str, **more: Any) -> TaskRecord:
    return TaskRecord("7", restart, rank, 2, node, node, 1, "1", 10.0 * restart, 10.0 * restart + 5, **more)


def test_a_restart_says_why_from_where_and_on_which_nodes() -> None:
    tasks = [
        task(0, 0, "gpu1", outcome="stopped", slurm_state="REQUEUED", ended_s=5.0),
        task(0, 1, "gpu2"),
        task(
            1,
            0,
            "gpu1",
            resume_step=300,
            outcome="stopped",
            will_restart=True,
            reason="the time limit was near",
        ),
        task(1, 1, "gpu3", outcome="stopped"),
        task(2, 0, "gpu1", resume_step=450),
        task(2, 1, "gpu3"),
    ]
    assert list_restarts(tasks) == (
        Restart(1, "node failure of gpu2", 300, ("gpu1", "gpu3")),
        Restart(2, "the time limit was near", 450, ("gpu1", "gpu3")),
    )


def test_the_end_of_a_run_is_the_first_thing_that_is_said(launched: Any) -> None:
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    script = launched.file(
        "oom.py",
        "import sys\nfrom clusterplan import track\nfor step in track(range(3), total=30):\n    pass\n"
        f"sys.exit({words!r})\n",
    )
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 480\n[training]\nbatch_size = 8\naccumulation = 2\ngpus = 1\n"
        f"[run]\ncommand = ['python', '{script.name}', '{{batch_size}}', '{{accumulation}}']\n",
    )
    run = launched.submit("--executor", "local", job)["run"]
    ended = launched.ended(run)
    assert (
        ended["remedy"]["command"] == f"clusterplan resume {run} --batch-size 4 --accumulation 4 --from-start"
    )
    assert (ended["failure"]["kind"], ended["ended_utc"][-1], ended["elapsed_s"] > 0) == (
        "out_of_memory",
        "Z",
        True,
    )
    for command in ("status", "report"):
        said = launched(command, run).stdout.splitlines()
        assert said[1].split()[:2] == ["state", "out_of_memory"]
        assert said[2].split()[:4] == ["go", "on", "clusterplan", "resume"]
        assert any(line.startswith("steps") and "3/30" in line for line in said)
    assert json.loads(launched("report", run, "--json").stdout)["remedy"] == ended["remedy"]


def test_watch_goes_on_until_all_runs_have_ended(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "2")["run"]
    watched = launched("watch", run, timeout=60)
    states = [line.split()[3] for line in watched.stdout.splitlines()]
    assert (watched.returncode, states[-1]) == (0, "completed")


def test_runs_of_several_users_have_a_column_of_their_names(tmp_path: Path) -> None:
    """Two users of one group; a reason of 300 characters is cut in a table."""
    state = RunState(State.FAILED, "exit code 1: " + "long words " * 30, 0.0, 1)
    runs = [
        RunStatus(name, tmp_path, state, None, 0, None, facts={"user": user})
        for name, user in (("训练-1", "ada"), ("b-2", "bob"))
    ]
    page = Page(200, colour=False)
    render_statuses(page, runs)
    header, *rows = str(page).splitlines()
    assert header.split()[:3] == ["run", "user", "state"]
    assert [row.split()[1] for row in rows] == ["ada", "bob"]
    assert all(row.endswith(" ...") for row in rows)
    assert rows[0].index("ada") + 2 == rows[1].index("bob")  # two letters that are two columns wide
    page = Page(200, colour=False)
    render_statuses(page, runs[:1])
    assert "user" not in str(page)
