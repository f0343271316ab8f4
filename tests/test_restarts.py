"""Runs on a real Slurm without accounting: warned, cancelled, killed and requeued, they survive, and the truth is told of them."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from launched import (
    ENDED_S,
    EXAMPLE,
    POLL_S,
    TRAINS_ON,
    in_one_row,
    job_file,
    on_partition,
    running_job,
    runs_over_a_full_disk,
    slurm_states,
    small_disk,
    steps_done,
    story,
)
from slurm_cluster import Cluster, until

from clusterplan.launcher.run_folder.task_records import read_task_records


@story
def test_a_run_warned_of_its_limit_twice_resumes_twice_and_completes(
    on_slurm: Any,
) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=150))
    seen = 0
    for attempt in range(2):
        until(lambda before=seen: steps_done(run) > before + 5, "steps", ENDED_S)
        on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
        until(lambda after=attempt + 1: running_job(run, after), "the next attempt", ENDED_S)
        seen = steps_done(run)
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 3, 150)
    said = on_slurm("logs", run["run"]).stdout
    assert "step 150 of 150" in said
    files = sorted((Path(run["folder"]) / "tasks").glob("*.0.json"))
    resumed = [json.loads(file.read_text())["resume_step"] for file in files]
    assert resumed[0] is None
    assert 0 < resumed[1] < resumed[2] < 150
    listed = json.loads(on_slurm("history", "list", "--json").stdout)
    assert [(r["run"], r["state"]) for r in listed] == [(run["run"], "completed")]


@story
def test_an_exit_code_is_told(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit("--gpus", "1", "--", "python", "-c", "import sys; print('bye'); sys.exit(3)")
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["exit_code"], ended["reason"]) == (
        "failed",
        3,
        "exit code 3; last line: bye",
    )


@story
def test_a_killed_job_is_told_though_it_could_say_nothing(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    on_slurm.wait(run["run"], "running")
    attempt = until(lambda: list((Path(run["folder"]) / "tasks").glob("*.json")), "the attempt")[0]
    until(lambda: json.loads(attempt.read_text())["state"] == "running", "running")
    os.kill(json.loads(attempt.read_text())["pid"], signal.SIGKILL)
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["exit_code"]) == ("failed", 137)


@story
def test_memory_that_ran_out_is_named(on_slurm: Any) -> Generator[None, None, None]:
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
    run = on_slurm.submit("--gpus", "1", "--", "python", "-c", f"import sys; sys.exit('{words}')")
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == ("out_of_memory", f"exit code 1: {words}")


@story
def test_a_run_cancelled_before_it_began(on_slurm: Any) -> Generator[None, None, None]:
    job = job_file(on_slurm, more='[slurm]\nbegin = "now+1hour"\n')
    run = on_slurm.submit(job)
    yield
    pending = on_slurm.status(run["run"])
    assert pending["state"] == "pending"
    on_slurm.slurm.ask("scancel", run["job_id"])
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == ("cancelled", "before it began")


@story
def test_a_cancelled_run_gets_its_stop_signal_and_saves(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=2000))
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    assert on_slurm("cancel", run["run"]).returncode == 0
    yield
    ended = on_slurm.ended(run["run"])
    assert ended["state"] == "cancelled"
    assert list((Path(run["folder"]) / "output").glob("step_*"))
    assert slurm_states(run)[0] == "CANCELLED"


@story
def test_a_requeue_by_hand_goes_on_from_disk(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=60))
    until(lambda: list((Path(run["folder"]) / "output").glob("step_*")), "a checkpoint", ENDED_S)
    on_slurm.slurm.ask("scontrol", "requeue", run["job_id"])
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 60)
    assert (slurm_states(run), ended["preemptions"]) == (["REQUEUED", None], 0)


@story
def test_a_start_that_fails_before_it_begins_is_repeated(on_slurm: Any) -> Generator[None, None, None]:
    """srun's "Unable to create step" after a node was lost: no task is there to ask for a restart."""
    run = on_slurm.submit(job_file(on_slurm, steps=60))
    until(lambda: steps_done(run) > 5, "steps", ENDED_S)
    where = Path(run["folder"]) / "submitit"
    (pickle,) = where.glob("submission-*.pkl")
    hidden = pickle.rename(where / "hidden")
    on_slurm.slurm.ask("scontrol", "requeue", run["job_id"])
    until((where / f"{run['job_id']}.1.exit").exists, "the start that fails", ENDED_S)
    hidden.rename(pickle)
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 60)


# As srun of Slurm 22.05 says it where a node answers no more, and then the real one.
SRUN = """#!/bin/bash
if mkdir tried 2> /dev/null; then
    echo "srun: error: Task launch for StepId=$SLURM_JOB_ID.0 failed on node gpu3: Communication connection failure" >&2
    echo "srun: error: Application launch failed: Communication connection failure" >&2
    exit 233
fi
exec REAL "$@"
"""


@story
def test_a_start_whose_node_died_before_its_tasks_ran_is_repeated(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """The job is its first start; that nothing has begun before tells nothing of the run here."""
    on_slurm.file("srun", SRUN.replace("REAL", shutil.which("srun"))).chmod(0o755)
    run = on_slurm.submit(
        job_file(on_slurm, steps=20), env={"PATH": f"{on_slurm.folder}:{on_slurm.environment['PATH']}"}
    )
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 20)
    assert (on_slurm.folder / "tried").exists()


@story
def test_a_start_that_slurm_kills_after_a_requeue_is_repeated_once(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """A slurmd that came back had the new start killed by the job's id: four runs of one storm ended so."""
    run = on_slurm.submit(job_file(on_slurm, steps=150))
    until(lambda: running_job(run, 0) and steps_done(run) > 5, "steps", ENDED_S)
    on_slurm.slurm.ask("scontrol", "requeue", run["job_id"])
    for attempt in (1, 2):
        until(lambda at=attempt: running_job(run, at), "the next start", ENDED_S)
        on_slurm.slurm.ask("scancel", "--signal=KILL", f"{run['job_id']}.0")
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == ("failed", "its process was killed (SIGKILL)")
    assert {file.name for file in Path(run["folder"]).glob("submitit/*.exit")} == {
        f"{run['job_id']}.{attempt}.exit" for attempt in (1, 2)
    }


@story
def test_one_rank_of_four_that_crashes_ends_the_job_with_its_words(
    on_slurm: Any,
) -> Generator[None, None, None]:
    script = on_slurm.file(
        "crash.py",
        "import os, time\n"
        "from pathlib import Path\n"
        "if os.environ['RANK'] == '2':\n    Path('unwell').touch()\n    raise ValueError('rank two is unwell')\n"
        "while not Path('unwell').exists():\n    time.sleep(0.01)\n"
        "raise RuntimeError('Connection closed by peer')\n",
    )
    job = job_file(on_slurm).read_text().replace(str(EXAMPLE), script.name)
    run = on_slurm.submit(on_slurm.file("job.toml", job))
    yield
    ended = on_slurm.ended(run["run"])
    assert ended["state"] == "failed"
    (node,) = {json.loads(file.read_text())["node"] for file in Path(run["folder"]).glob("tasks/*.2.json")}
    assert ended["reason"] == f"rank 2 on {node}, exit code 1: ValueError: rank two is unwell"


@story
def test_where_requeue_is_forbidden_a_successor_goes_on(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=50), "--no-requeue")
    until(lambda: steps_done(run) > 5, "steps", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 50)
    assert ended["job_id"] != run["job_id"]


@story
def test_a_real_time_out_is_told_and_nothing_is_restarted_for_ever(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """Nothing is saved, so three attempts are enough; the limit is not waited for."""
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    for attempt in range(3):
        now = until(lambda: running_job(run, attempt), f"attempt {attempt}", ENDED_S)  # noqa: B023
        on_slurm.slurm.ask("scancel", "--signal=USR2", now)
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == (
        "timed_out",
        "3 attempts in a row saved no checkpoint at all",
    )


OVERWRITES = """
import os, pathlib, pickle, sys, time
path = pathlib.Path(sys.argv[1]) / "ckpt.pt"
step = pickle.loads(path.read_bytes()) if path.exists() else 0
while not os.path.exists("end"):
    step += 1
    path.with_suffix(".tmp").write_bytes(pickle.dumps(step))
    path.with_suffix(".tmp").rename(path)
    time.sleep(0.1)
"""


@story
def test_a_run_that_overwrites_its_only_file_goes_on_over_any_number_of_limits(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """karpathy/nanoGPT's ckpt.pt, MedSAM#342's latest.pth: it resumes by itself, and its file has no number."""
    run = on_slurm.submit("--gpus", "1", "--", "python", on_slurm.file("train.py", OVERWRITES), "{output}")
    file = Path(run["folder"]) / "output" / "ckpt.pt"
    for attempt in range(4):
        now = until(lambda: running_job(run, attempt), f"attempt {attempt}", ENDED_S)  # noqa: B023
        began_s = time.time()
        until(lambda: file.exists() and file.stat().st_mtime > began_s, "a save", ENDED_S)  # noqa: B023
        on_slurm.slurm.ask("scancel", "--signal=USR2", now)
    until(lambda: running_job(run, 4), "the fifth start", ENDED_S)
    on_slurm.file("end", "")
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"]) == ("completed", 5)


CUTS_ITS_SAVE = """
import pathlib, pickle, sys, time
output = pathlib.Path(sys.argv[1])
resumed = pathlib.Path(sys.argv[-1]) if "--resume" in sys.argv else None
step = pickle.loads(resumed.read_bytes())["step"] if resumed else 0
while step < 40:
    step += 10
    data = pickle.dumps({"step": step, "weights": bytes(1000)})
    if step == 30 and not pathlib.Path("cut").exists():
        pathlib.Path("cut").touch()
        (output / "step_30.bin").write_bytes(data[:500])
        sys.exit(1)
    (output / f"step_{step}.bin").write_bytes(data)
"""


@story
def test_a_save_that_was_cut_is_left_out_by_the_next_start(on_slurm: Any) -> Generator[None, None, None]:
    """vllm-project/speculators#739: killed in the middle of a save that is not atomic."""
    on_slurm.file("cuts.py", CUTS_ITS_SAVE)
    run = on_slurm.submit(
        on_slurm.file(
            "cuts.toml",
            "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 1\n[run]\n"
            'command = ["python", "cuts.py", "{output}"]\nresume = ["--resume", "{latest}"]\n',
        )
    )
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"]) == ("completed", 3)
    assert "step_30.bin could not be resumed from" in on_slurm("status", run["run"]).stdout


@story
def test_a_run_that_slurm_has_forgotten_is_still_told_of(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit("--gpus", "1", "--", "true")
    until(lambda: list((Path(run["folder"]) / "submitit").glob("*.exit")), "the end", ENDED_S)
    until(lambda: not on_slurm.slurm.state(run["job_id"]), "Slurm to forget it", 120)
    yield
    (Path(run["folder"]) / "status.json").unlink(missing_ok=True)
    assert on_slurm.status(run["run"])["state"] == "completed"


@story
def test_a_warning_before_anything_has_begun_kills_nothing(on_slurm: Any) -> Generator[None, None, None]:
    """The case of exit code 140: Python is still starting."""
    waits = "until [ -e end ]; do sleep 0.1; done"
    run = on_slurm.submit("--gpus", "1", "--", "sh", "-c", waits)
    on_slurm.slurm.wait_for(run["job_id"], "RUNNING", within_s=ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    on_slurm.file("end", "")
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_a_disk_that_fills_up_does_not_end_a_run(on_slurm: Any) -> Generator[None, None, None]:
    with small_disk(on_slurm) as (fill, make_room):
        run = on_slurm.submit("--gpus", "1", "--", "python", on_slurm.file("train.py", TRAINS_ON))
        ended = runs_over_a_full_disk(on_slurm, run, 0, fill)
        yield
        assert (ended["state"], ended["attempts"], ended["exit_code"]) == ("completed", 1, 0)
        make_room()
        until(lambda: not on_slurm.slurm.state(run["job_id"]), "Slurm to forget it", 120)
        assert on_slurm.status(run["run"])["state"] == "completed"


@story
def test_what_an_attempt_killed_while_saving_left_is_no_obstacle(
    on_slurm: Any,
) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=5, more="[slurm]\nhold = true\n"))
    for rank in range(4):
        (Path(run["folder"]) / "submitit" / f"{run['job_id']}_{rank}_result.pkl.save_tmp").touch()
    on_slurm.slurm.ask("scontrol", "release", run["job_id"])
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_a_job_whose_dependency_failed_says_that_it_never_starts(
    on_slurm: Any,
) -> Generator[None, None, None]:
    first = on_slurm.submit("--gpus", "1", "--", "false")
    job = job_file(on_slurm, more=f'[slurm]\ndependency = "afterok:{first["job_id"]}"\n')
    second = on_slurm.submit(job)
    on_slurm.ended(first["run"])
    never = "the job it depends on did not end as required: it will never start, so cancel it"
    state = on_slurm.says(second["run"], never)["state"]
    yield  # Slurm forgets it soon
    assert state == "pending"


@story
def test_more_time_than_the_partition_allows_is_not_waited_for_unsaid(
    on_slurm: Any,
) -> Generator[None, None, None]:
    run = on_slurm.submit("--force", "--time", "10m", *on_partition(on_slurm, "short"), "--", "true")
    yield
    never = "it asks for more time than its partition allows: it will never start, so cancel it"
    now = on_slurm.says(run["run"], never)
    assert (now["state"], now["reason"]) == ("pending", never)


SAVES_SLOWLY = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saving").touch()
    while not pathlib.Path("cancelled").exists():
        time.sleep(0.1)
    (pathlib.Path(sys.argv[1]) / "step_5").mkdir(parents=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
pathlib.Path("up").touch()
time.sleep(300)
"""


def _submit_and_warn(on_slurm: Any) -> Any:
    """A run that has begun to save, and is done with it only after the file `cancelled` is there."""
    script = on_slurm.file("slow.py", SAVES_SLOWLY)
    run = on_slurm.submit("--gpus", "1", "--", "python", script, "{output}")
    until((on_slurm.folder / "up").exists, "the script", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    until((on_slurm.folder / "saving").exists, "it to save", ENDED_S)
    return run


def _assert_cancelled_and_saved(on_slurm: Any, run: Any) -> None:
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"]) == ("cancelled", 1)
    assert (Path(run["folder"]) / "output" / "step_5").exists()
    assert on_slurm.slurm.state(run["job_id"]) in ("CANCELLED", "")


@story
def test_a_run_cancelled_while_it_saves_does_not_come_back(on_slurm: Any) -> Generator[None, None, None]:
    run = _submit_and_warn(on_slurm)
    on_slurm("cancel", run["run"])
    (on_slurm.folder / "cancelled").touch()
    yield
    _assert_cancelled_and_saved(on_slurm, run)


@story
def test_a_job_cancelled_by_hand_while_it_saves_does_not_come_back(
    on_slurm: Any,
) -> Generator[None, None, None]:
    run = _submit_and_warn(on_slurm)
    on_slurm.slurm.ask("scancel", run["job_id"])
    (on_slurm.folder / "cancelled").touch()
    yield
    _assert_cancelled_and_saved(on_slurm, run)


def _held(on_slurm: Any) -> Any:
    return on_slurm.submit(job_file(on_slurm, steps=5, more="[slurm]\nhold = true\n"))


@story
def test_a_run_that_was_given_up_as_lost_runs_all_the_same(on_slurm: Any) -> Generator[None, None, None]:
    run = _held(on_slurm)
    guess = {"state": "lost", "exit_code": None, "ended_s": 1.0, "reason": "nobody knows it", "error": None}
    (Path(run["folder"]) / "status.json").write_text(json.dumps(guess))
    assert on_slurm.status(run["run"])["state"] == "pending"
    on_slurm.slurm.ask("scontrol", "release", run["job_id"])
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 5)


@story
def test_a_job_of_another_cluster_is_not_taken_for_lost(on_slurm: Any) -> Generator[None, None, None]:
    run = _held(on_slurm)
    yield
    jobs = Path(run["folder"]) / "jobs.jsonl"
    noted = json.loads(jobs.read_text())
    assert noted["cluster"] == "test"
    jobs.write_text(json.dumps(noted | {"cluster": "elsewhere"}) + "\n")
    told = on_slurm.status(run["run"])
    assert told["state"] == "pending"
    assert told["reason"].startswith("on cluster elsewhere; submitted ")
    on_slurm.slurm.ask("scancel", run["job_id"])


@story
def test_without_scontrol_on_the_node_a_successor_goes_on(on_slurm: Any) -> Generator[None, None, None]:
    tools = on_slurm.folder / "tools"
    tools.mkdir()
    for name in ("sbatch", "sinfo", "squeue", "srun"):
        (tools / name).symlink_to(shutil.which(name))
    scontrol = tools / "scontrol"
    scontrol.write_text(
        f'#!/bin/sh\n[ -z "$SUBMITIT_EXECUTOR" ] || exit 127\nexec {shutil.which("scontrol")} "$@"\n'
    )
    scontrol.chmod(0o755)
    path = f"{Path(sys.executable).parent}{os.pathsep}{tools}"
    run = on_slurm.submit(job_file(on_slurm, steps=50), env={"PATH": path})
    until(lambda: steps_done(run) > 5, "steps", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 50)
    assert ended["job_id"] != run["job_id"]


@story
def test_a_run_that_is_told_to_stop_and_not_cancelled_goes_on(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit(job_file(on_slurm, steps=60))
    until(lambda: steps_done(run) > 5, "steps", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=TERM", run["job_id"])
    yield
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 60)


# Alone on the cluster, because others would feel it


@pytest.mark.slow
def test_a_preempted_run_says_so_and_goes_on(on_slurm: Any) -> None:
    job = job_file(on_slurm, steps=80, where='[cluster]\nnodes = 3\npartition = "preempt"\n')
    run = on_slurm.submit("--force", "--gpus", 3, job)
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    on_slurm.slurm.sbatch("--nodes=3", "--exclusive", command="sleep 2")
    taken = "restarts by itself: a job of higher priority took its place"
    on_slurm.says(run["run"], taken)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["preemptions"]) == ("completed", 2, 1)
    assert "1 restart (1 preempted)" in in_one_row(on_slurm("status").stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["preempt", "grace"])
def test_a_run_goes_on_where_preemption_cancels(on_slurm: Any, name: str) -> None:
    """PreemptMode=CANCEL of Slurm's preemption page: the job is killed, and not requeued."""
    on_slurm.slurm.ask("scontrol", "update", f"PartitionName={name}", "PreemptMode=CANCEL")
    try:
        job = job_file(on_slurm, steps=80, where=f'[cluster]\nnodes = 3\npartition = "{name}"\n')
        run = on_slurm.submit("--force", "--gpus", 3, job)
        until(lambda: steps_done(run) > 3, "steps", ENDED_S)
        on_slurm.slurm.sbatch("--nodes=3", "--exclusive", command="sleep 2")
        ended = on_slurm.ended(run["run"])
    finally:
        on_slurm.slurm.ask("scontrol", "update", f"PartitionName={name}", "PreemptMode=REQUEUE")
    assert (ended["state"], ended["attempts"], ended["preemptions"]) == ("completed", 2, 1)


SAVES_ON_TERM = """
import pathlib, signal, sys, time
from clusterplan import track
folder, code, save_s = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
steps = [int(path.name[5:]) for path in folder.glob("step_*")]
step, total, asked = max(steps, default=0), max(steps, default=0) + 1000, []
def save(*_):
    asked.append(1)
    print("TERM", flush=True)
signal.signal(signal.SIGTERM, save)
with open("starts", "a") as starts:
    print(step, file=starts)
for _ in track(range(total)):
    if step and steps:
        sys.exit()  # taken up again: enough
    step += 1
    time.sleep(0.05)
    if asked and code >= 0:
        time.sleep(save_s)
        (folder / f"step_{step}").mkdir(parents=True, exist_ok=True)
        sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "code", "save_s"),
    [(1, 1, 3), (1, 0, 0), (1, 143, 0), (2, 0, 3), (1, -1, 0)],
    ids=["saves in 3 s", "exits with 0", "exits with 143", "four ranks on two nodes", "ignores TERM"],
)
def test_a_run_preempted_with_a_grace_goes_on(on_slurm: Any, nodes: int, code: int, save_s: int) -> None:
    """A job that ends by itself inside the grace is not requeued: davidsd/sdpb#201, slurm-gcp#182."""
    script = on_slurm.file("saves.py", SAVES_ON_TERM)
    where = f'[cluster]\nnodes = {nodes}\nprofile = "test"\npartition = "grace"\n'
    job = job_file(on_slurm, where=where).read_text().split("[run]")[0]
    command = f'["python", "{script.name}", "{{output}}", "{code}", "{save_s}"]'
    file = on_slurm.file("job.toml", f'{job}[run]\ncommand = {command}\nbootstrap = "per-gpu"\n')
    run = on_slurm.submit("--force", "--gpus", 2 * nodes, file)
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    held = on_slurm.slurm.ask("squeue", "--noheader", "--format=%N", f"--jobs={run['job_id']}").strip()
    on_slurm.slurm.sbatch(f"--nodelist={held}", f"--nodes={nodes}", "--exclusive", command="sleep 2")
    if code < 0:
        until(lambda: running_job(run, 1), "the next start", ENDED_S)
        assert slurm_states(run)[0] == "PREEMPTED"
        assert on_slurm("cancel", run["run"]).returncode == 0
        return
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["preemptions"]) == ("completed", 2, 1)
    assert "1 restart (1 preempted)" in in_one_row(on_slurm("status").stdout)
    starts = (on_slurm.folder / "starts").read_text().split()
    assert starts[: 2 * nodes] == ["0"] * 2 * nodes
    logs = sorted((Path(run["folder"]) / "logs").glob("*.log"))
    assert [log.read_text().count("TERM") for log in logs] == [1] * 2 * nodes
    assert all(int(step) > 0 for step in starts[2 * nodes :])


@pytest.mark.slow
def test_a_controller_that_is_restarted_changes_nothing(on_slurm: Any) -> None:
    run = on_slurm.submit(job_file(on_slurm, steps=150))
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    with on_slurm.slurm.without("slurmctld"):
        said = on_slurm.status(run["run"])
    assert said["state"] == "running"
    assert said["reason"].startswith("Slurm does not answer; last heartbeat ")
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 1, 150)


@pytest.mark.slow
def test_a_controller_that_hangs_is_said_to_not_answer(on_slurm: Any) -> None:
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    until(lambda: any(task.state == "running" for task in read_task_records(Path(run["folder"]))), "the task")
    with on_slurm.slurm.hung():
        said = on_slurm.status(run["run"])
        reported = json.loads(on_slurm("report", "--json", run["run"]).stdout)
    assert said["state"] == "running"
    assert said["reason"].startswith("Slurm does not answer; last heartbeat ")
    assert reported["state"] == "running"


@pytest.mark.slow
def test_a_real_time_limit_of_a_minute_is_survived(on_slurm: Any) -> None:
    """Slurm warns up to a minute early, so how often it restarts is Slurm's to say."""
    job = job_file(on_slurm, steps=150, step_time=0.5)
    run = on_slurm.submit("--time", "1m", *on_partition(on_slurm, "short"), job)

    def over() -> Any:
        time.sleep(POLL_S)
        now = on_slurm.status(run["run"])
        return now if now["state"] not in ("pending", "running") else None

    ended = until(over, "the end", 500)
    assert (ended["state"], ended["steps_done"]) == ("completed", 150)
    assert ended["attempts"] >= 2


@pytest.mark.slow
@pytest.mark.slurm
def test_accounting_tells_of_a_job_that_slurm_has_forgotten(
    slurm_with_accounting: Cluster, launched: Any
) -> None:
    """Cancelled while it waited, by another hand: nothing of it is in its folder, which would be `lost`."""
    run = launched.submit(
        job_file(launched, more='[slurm]\nbegin = "now+1hour"\n', where="[cluster]\nnodes = 2\n"), "--force"
    )
    slurm_with_accounting.ask("scancel", run["job_id"])
    until(lambda: not slurm_with_accounting.state(run["job_id"]), "Slurm to forget it", 120)
    said = launched.status(run["run"])
    assert (said["state"], said["reason"]) == ("cancelled", "before it began")
