"""Runs on a real Slurm: what a command gets there, what is recorded, and what a submission says."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from launched import (
    ENDED_S,
    EXAMPLE,
    in_one_row,
    job_file,
    story,
)
from served import get, serve, words_of
from slurm_cluster import Cluster, until
from terminal import terminal

from clusterplan.launcher.forecast.kept import read_start_forecast
from clusterplan.web.access.gate import HOME


@story
def test_runs_teach_the_next_estimate_and_are_held_against_theirs(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """Unknown, then two runs, then measured and transferred; the next run is put beside its estimate."""
    job = job_file(on_slurm, steps=100, step_time=0.05).read_text().replace('name = "ddp"', 'model = "ddp"')
    job = on_slurm.file("job.toml", job.replace("nodes = 2\n", ""))

    def estimated(gpus: Any) -> Any:
        return json.loads(on_slurm("estimate", job, "--gpus", gpus, "--json").stdout)

    assert estimated(4)["source"]["kind"] == "unknown"
    for gpus in (1, 2):
        run = on_slurm.submit(job, "--gpus", gpus, "--samples", 32 * gpus * 100)
        assert on_slurm.ended(run["run"])["state"] == "completed"
    assert estimated(2)["source"]["kind"] == "measured"
    assert estimated(4)["step_time_s"]["p50"] == pytest.approx(0.055, rel=0.4)
    run = on_slurm.submit(job, "--gpus", 4)
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    report = json.loads(on_slurm("report", run["run"], "--json").stdout)
    assert [forecast["what"] for forecast in report["forecasts"]] == ["step time", "wall-clock"]
    assert report["forecasts"][0]["actual_s"] > 0.05


# megatron/training/training.py, training_log, which calls print_rank_last
MEGATRON = r"""
import os, sys, time
from pathlib import Path
for n in range(10, 61, 10):
    time.sleep(1.1)
    if os.environ["RANK"] == "1":
        print(f" iteration {n:8d}/      60 | consumed samples: {n * 4} | elapsed time per iteration (ms): 250.0 |"
              f" learning rate: 1.0E-05 | global batch size:     4 | lm loss: 2.5E+00 | grad norm: 1.0 |", flush=True)
    while n == 30 and not Path(sys.argv[1]).exists():
        time.sleep(0.1)
"""


@story
def test_the_log_of_the_last_rank_tells_the_steps_and_the_end_beside_the_limit(
    on_slurm: Any,
) -> Generator[None, None, None]:
    script, go = on_slurm.file("megatron.py", MEGATRON), on_slurm.folder / "go"
    run = on_slurm.submit(
        *("--gpus", 2, "--nodes", 2, "--bootstrap", "per-gpu", "--time", "10m", "--force"),
        *("--", "python", script, go),
    )
    yield
    status = until(lambda: (now := on_slurm.status(run["run"]))["steps_done"] == 30 and now, "30 steps")
    go.touch()
    assert (status["steps_total"], status["steps_source"], status["loss"]) == (60, "log:megatron", 2.5)
    assert 0 < status["eta_s"] < 60 < status["limit_in_s"]
    assert (status["beats_limit"], status["further_jobs"]) == (1.0, 0)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["steps_done"], ended["eta_s"]) == ("completed", 60, None)


@story
def test_a_pending_run_keeps_its_forecast_and_says_when_it_would_start(
    on_slurm: Any,
) -> Generator[None, None, None]:
    run = on_slurm.submit("--gpus", 1, "--time", "10m", "--slurm", "begin=now+1hour", "--", "true")
    yield
    start = until(lambda: read_start_forecast(Path(run["folder"])), "a forecast")
    assert (start.basis, start.partition, start.cluster) == ("limits", "long", "test")
    assert start.by_limits_s > 3000
    queue = until(lambda: on_slurm.status(run["run"])["queue"], "an answer of Slurm")
    assert queue["wait_by_limits_s"] > 0
    assert "\nstarts  " in on_slurm("status", run["run"]).stdout
    assert on_slurm("cancel", run["run"]).returncode == 0


@story
def test_watch_shows_the_place_in_line_and_asks_slurm_every_30_s_at_most(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """`squeue` is the real one behind a script that writes down when this user's own jobs were asked for."""
    run = on_slurm.submit("--gpus", 1, "--time", "10m", "--slurm", "begin=now+1hour", "--", "true")
    yield
    real, log = (
        shutil.which("squeue", path=on_slurm.environment["PATH"]),
        on_slurm.folder.parent / "questions",
    )
    programs = on_slurm.folder.parent / "programs"
    programs.mkdir()
    counting = programs / "squeue"
    counting.write_text(
        f'#!/bin/sh\ncase "$*" in *--user*) date +%s.%N >> "{log}";; esac\nexec {real} "$@"\n',
        encoding="utf-8",
    )
    counting.chmod(0o755)
    environment = on_slurm.environment | {"PATH": f"{programs}:{on_slurm.environment['PATH']}"}
    program = Path(sys.executable).with_name("clusterplan")
    with terminal([program, "watch", run["run"]], on_slurm.folder, environment) as shown:
        shown.read_until(lambda text: text.count(b"starts in") >= 5)
        shown.press(b"q")
        assert shown.read_to_end() == 0
    text = in_one_row(shown.seen.decode())
    assert "0 running, 1 pending" in text
    assert re.search(r"starts in (1h|[1-5]\dm)", text)
    assert "first in line" in text or "before it" in text
    times = [float(line) for line in log.read_text().splitlines()]
    assert times
    assert (
        min((later - earlier for earlier, later in pairwise(times)), default=30) > 29
    )  # a process may start late
    assert on_slurm("cancel", run["run"]).returncode == 0


@story
def test_every_argument_arrives_as_it_was_given(on_slurm: Any) -> Generator[None, None, None]:
    show = on_slurm.file("show args.py", "import json, sys; print(json.dumps(sys.argv[1:]))")
    hostile = [
        "a b",
        "it's",
        '"',
        "$(touch pwned)",
        "`id`",
        "; exit 9",
        "new\nline",
        "ünïcode",
        "%j",
        "-x=1",
        "",
    ]
    run = on_slurm.submit("--gpus", "1", "--", "python", show, *hostile)
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert json.loads(on_slurm("logs", run["run"]).stdout) == hostile
    assert not list(on_slurm.folder.rglob("pwned"))


@story
def test_a_foreign_launcher_in_the_working_folder_is_not_ours(on_slurm: Any) -> Generator[None, None, None]:
    for name in ("launcher", "clusterplan", "submitit"):
        (on_slurm.folder / name).mkdir()
        on_slurm.file(f"{name}/__init__.py", "raise SystemExit('the wrong one')")
    run = on_slurm.submit("--gpus", "1", "--", "true")
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_secrets_stay_out_of_the_script_and_the_record(on_slurm: Any) -> Generator[None, None, None]:
    secret = "s3cr3t-value"
    run = on_slurm.submit("--gpus", "1", "--", "true", "--api-key", secret, env={"WANDB_API_KEY": secret})
    yield
    on_slurm.ended(run["run"])
    folder = Path(run["folder"])
    assert json.loads((folder / "run.json").read_text())["command"] == ["true", "--api-key", "[redacted]"]
    assert all(secret not in path.read_text() for path in (folder / "submitit").glob("*.sh"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "launch.json").stat().st_mode & 0o777 == 0o600


@story
def test_each_rank_sees_the_gpus_that_slurm_gave_its_job(on_slurm: Any) -> Generator[None, None, None]:
    script = on_slurm.file(
        "gpus.py", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['LOCAL_RANK'])"
    )
    job = job_file(on_slurm).read_text().replace(str(EXAMPLE), script.name)
    run = on_slurm.submit(on_slurm.file("job.toml", job))
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    seen = [on_slurm("logs", run["run"], "--rank", rank).stdout.split() for rank in range(4)]
    assert [local for _, local in seen] == ["0", "1", "0", "1"]
    assert seen[0][0] == seen[1][0]
    assert len(seen[0][0].split(",")) == 2


@story
def test_a_run_submitted_from_inside_a_job_has_its_own_shape(on_slurm: Any) -> Generator[None, None, None]:
    inner = ["clusterplan", "submit", "--json", "--gpus", "1", "--", "true"]
    outer = on_slurm.submit("--profile", "test", "--gpus", "2", "--nodes", "2", "--", "env", *inner)
    yield
    assert on_slurm.ended(outer["run"])["state"] == "completed"
    said = on_slurm("logs", outer["run"]).stdout
    assert "submitted from inside job" in said
    run = json.loads(said[said.index("{") :])
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_two_submissions_of_one_job_file_at_once_are_two_runs(on_slurm: Any) -> Generator[None, None, None]:
    job = job_file(on_slurm, steps=5)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: on_slurm.submit(job), range(2)))
    yield
    assert len({run["run"] for run in runs}) == 2
    assert [on_slurm.ended(run["run"])["state"] for run in runs] == ["completed"] * 2


@story
def test_ctrl_c_while_slurm_is_asked_waits_for_its_answer(on_slurm: Any) -> Generator[None, None, None]:
    slow = on_slurm.folder / "sbatch"
    slow.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" && touch asked && sleep 2\n')
    slow.chmod(0o755)
    path = f"{on_slurm.folder}{os.pathsep}{on_slurm.environment['PATH']}"
    command = [
        str(Path(sys.executable).with_name("clusterplan")),
        "submit",
        "--json",
        "--gpus",
        "1",
        "--",
        "true",
    ]
    environment = {**on_slurm.environment, "PATH": path}
    with subprocess.Popen(
        command, cwd=on_slurm.folder, env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        until((on_slurm.folder / "asked").exists, "sbatch", ENDED_S)
        os.killpg(process.pid, signal.SIGINT)
        run = json.loads(process.communicate()[0])
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_a_job_submitted_from_inside_a_run_of_this_machine_is_slurms(
    on_slurm: Any,
) -> Generator[None, None, None]:
    left = {"SUBMITIT_LOCAL_JOB_ID": "5", "SUBMITIT_EXECUTOR": "local", "CLUSTERPLAN_ATTEMPT": "5.0"}
    run = on_slurm.submit("--gpus", "1", "--", "true", env=left)
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert [path.name for path in (Path(run["folder"]) / "tasks").iterdir()] == [f"{run['job_id']}.0.0.json"]


# What a submission says; none of these waits for its job


def test_a_dry_run_prints_the_script_and_submits_nothing(on_slurm: Any) -> None:
    done = on_slurm("submit", "--dry-run", job_file(on_slurm), "--name", "dry-run")
    assert done.returncode == 0
    assert "#SBATCH --nodes=2" in done.stdout
    assert "--kill-on-bad-exit=1" in done.stdout
    assert not list((on_slurm.folder / "runs").glob("*"))
    assert "dry-run" not in on_slurm.slurm.ask("squeue", "--noheader", "--format=%j")


def test_an_option_that_sbatch_does_not_know_is_named(on_slurm: Any) -> None:
    done = on_slurm("submit", job_file(on_slurm, more='[slurm]\nnosuch = "x"\n'))
    assert done.returncode == 1
    assert done.stderr == "Error: sbatch refused: unrecognized option '--nosuch=x'\n"


def test_auto_is_resolved_where_slurms_name_of_a_gpu_may_mean_several(on_slurm: Any) -> None:
    said = on_slurm(
        "submit", "--dry-run", "--partition", "long", "--gpus", "1", "--precision", "auto", "--", "true"
    ).stdout
    assert "CLUSTERPLAN_PRECISION=bf16" in said
    assert "precision bf16 (auto on A100)" in said
    said = on_slurm("submit", "--dry-run", "--partition", "old", "--gpus", "1", "--", "true").stdout
    assert "CLUSTERPLAN_PRECISION=fp16" in said


def test_a_job_of_unknown_time_leaves_its_limit_to_the_partition(on_slurm: Any) -> None:
    script = on_slurm("submit", "--dry-run", "--gpus", "1", "--", "true").stdout
    assert "--time" not in script
    assert "--wckey" not in script


def test_the_receipt_says_what_is_booked(on_slurm: Any) -> None:
    said = on_slurm("submit", "--profile", "test", "--nodes", "2", "--gpus", "4", "--", "true").stdout
    assert "requests 4 x a100 2 nodes of 2 in partition long " in in_one_row(said)


def test_the_warning_fits_the_limit_of_the_partition(on_slurm: Any) -> None:
    done = on_slurm("submit", "--dry-run", "--partition", "short", "--gpus", "1", "--", "true")
    said = "with a limit of 2m, up to 1m 30s of it may be kept for saving\n"
    assert said in done.stderr  # a longer one is not to be had there
    assert "#SBATCH --signal=USR2@30\n" in done.stdout
    assert (
        "30 s before the partition's limit of 2m the run is told to save; then it is requeued and goes on"
        in done.stdout
    )


def test_a_partition_that_is_not_there_is_said_of_the_cluster(on_slurm: Any) -> None:
    done = on_slurm("submit", "--partition", "nope", "--gpus", "1", "--", "true")
    said = "Error: partition 'nope' is not a partition of test with GPUs: give one of short, long, preempt, old, grace, mixed\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_refused_submission_leaves_nothing_behind(on_slurm: Any) -> None:
    done = on_slurm("submit", job_file(on_slurm, more='[slurm]\nnodelist = "nowhere"\n'))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: sbatch refused: ")
    assert "nvalid node name specified" in done.stderr
    assert not list((on_slurm.folder / "runs").glob("*"))


def test_slurm_is_told_the_account(on_slurm: Any) -> None:
    run = on_slurm.submit("--gpus", "1", "--", "true", env={"SBATCH_ACCOUNT": "lab"})
    assert "Account=lab" in on_slurm.slurm.ask("scontrol", "show", "job", run["job_id"])


def test_srun_is_for_the_nodes_to_have(slurm: Cluster, without_slurm: Any) -> None:
    for name in ("sbatch", "scontrol", "sinfo", "squeue"):
        (without_slurm.folder / "bin" / name).symlink_to(shutil.which(name))
    run = without_slurm.submit("--gpus", "1", "--", "/usr/bin/env")
    assert slurm.state(run["job_id"])


def test_no_slurm_at_submission_leaves_nothing_behind(on_slurm: Any) -> None:
    with on_slurm.slurm.without("slurmctld"):
        done = on_slurm("submit", "--gpus", "1", "--", "true")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: Slurm does not answer: ")
    assert not list((on_slurm.folder / "runs").glob("*"))


@story
def test_a_program_that_starts_itself_knows_its_node_and_its_own_port(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """Each node runs the command once, with what LLaMA-Factory and ms-swift read; accelerate#1489 asks for the port."""
    names = "NNODES NODE_RANK NPROC_PER_NODE MASTER_PORT"
    script = on_slurm.file("where.sh", f"for name in {names}; do echo $name=${{!name}}; done\n")
    command = ("--profile", "test", "--gpus", "4", "--nodes", "2", "--", "bash", script)
    run = on_slurm.submit(*command, env={"MASTER_PORT": "29501", "NODE_RANK": "7"})
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    for rank in (0, 1):
        told = on_slurm("logs", run["run"], "--rank", rank).stdout.split()
        assert told == ["NNODES=2", f"NODE_RANK={rank}", "NPROC_PER_NODE=2", "MASTER_PORT=29501"]


@story
def test_torchrun_in_the_text_of_a_shell_trains_on_all_nodes_and_saves_when_it_is_stopped(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """A stand-in for torchrun, which starts a process per GPU and hands the stop signal on."""
    on_slurm.file("train.py", "raise SystemExit('torchrun was not put before it')")
    stand_in = on_slurm.folder / "torch" / "distributed"
    stand_in.mkdir(parents=True)
    for where in (stand_in.parent, stand_in):
        (where / "__init__.py").write_text("")
    (stand_in / "run.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('saved'))\n"
        "print(*sys.argv[1:4], flush=True)\n"
        "time.sleep(300)\n"
    )
    text = "cd '.' && A=1 python train.py --lr $((1+1)) | cat"
    command = ("--profile", "test", "--gpus", "4", "--nodes", "2", "--", "bash", "-c", text)
    run = on_slurm.submit("--force", *command, env={"PYTHONPATH": str(on_slurm.folder)})
    logs = [Path(run["folder"]) / "logs" / f"{rank}.log" for rank in (0, 1)]
    until(lambda: all(log.exists() and "--nnodes" in log.read_text() for log in logs), "both tasks")
    on_slurm("cancel", run["run"])
    yield
    assert on_slurm.ended(run["run"])["state"] == "cancelled"
    for rank, log in enumerate(logs):
        told = log.read_text()
        assert told.split()[:3] == ["--nnodes=2", "--nproc_per_node=2", f"--node_rank={rank}"]
        assert "saved" in told


@story
def test_a_probe_runs_where_the_limit_is_shortest(on_slurm: Any) -> Generator[None, None, None]:
    """`short` has 2 minutes, the job's own partition a day; the default partition stays the job's."""
    job = (
        job_file(on_slurm, steps=2000, step_time=0.05, where="")
        .read_text()
        .replace('name = "ddp"', 'model = "probed"')
    )
    job = on_slurm.file("job.toml", job)
    yield
    done = on_slurm("calibrate", job, "--gpus", 1, "--samples", 64_000, "--budget", "2m", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    probe = result["probes"][0]
    assert (probe["partition"], probe["state"], probe["end"]) == ("short", "cancelled", "known")
    assert (result["before"]["source"]["kind"], result["after"]["source"]["kind"]) == ("unknown", "measured")


STAGE = """
import sys, time
from clusterplan import track
for step in track(range(int(sys.argv[1])), total=int(sys.argv[1])):
    time.sleep(0.02)
"""


def stages_of(on_slurm: Any, step_time: str) -> Any:
    """A job in two stages, the first of which passes if a step takes no longer than is stated."""
    command = ["python", str(on_slurm.file("train.py", STAGE)), "{max_steps}", "{output}"]
    job = on_slurm.file(
        "job.toml",
        "name = 'net'\n[data]\nsamples = 1_600\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'floor'\n"
        f"precision = 'fp32'\n[throughput]\nstep_time = '{step_time}'\n[cluster]\nprofile = 'test'\n"
        f"[run]\nbootstrap = 'per-gpu'\ncommand = {json.dumps(command)}\n",
    )
    return on_slurm.submit(job, "--stages", "20%,100%")["stages"]


@story
def test_a_stage_on_slurm_begins_once_the_one_before_has_passed(on_slurm: Any) -> Generator[None, None, None]:
    first, whole = stages_of(on_slurm, "1s")
    yield
    assert on_slurm.ended(whole["run"])["state"] == "completed"
    check = on_slurm.status(first["run"])["check"]
    assert (check["passed"], check["findings"][1]["name"], check["findings"][1]["passed"]) == (
        True,
        "speed",
        True,
    )
    request = json.loads((Path(whole["folder"]) / "request.json").read_text())["further"]
    assert ["dependency", f"afterok:{first['job_id']}"] in request


@story
def test_a_stage_on_slurm_that_is_too_slow_cancels_the_next(on_slurm: Any) -> Generator[None, None, None]:
    first, whole = stages_of(on_slurm, "1ms")
    yield
    ended = on_slurm.ended(whole["run"])
    assert (ended["state"], ended["began_utc"]) == ("cancelled", None)
    assert "ended as failed: its check failed: a step takes" in ended["reason"]
    assert on_slurm.status(first["run"])["exit_code"] == 1


@story
def test_the_pages_show_the_queue_and_why_a_run_waits(on_slurm: Any) -> Generator[None, None, None]:
    pytest.importorskip("datasette", reason="Datasette is not installed: the extra `serve`")
    pytest.importorskip("httpx", reason="httpx is not installed")
    running = on_slurm.submit("--gpus", 1, "--", "sleep", "600")
    held = on_slurm.submit("--gpus", 3, "--slurm", "hold=true", "--", "true")
    yield
    on_slurm.wait(running["run"], "running")
    assert on_slurm("history", "list").returncode == 0  # collects
    application = serve(Path(on_slurm.environment["CLUSTERPLAN_HISTORY"]))
    pending, _, going_on = words_of(get(application, f"{HOME}queue")).partition("Running, by the end")
    assert re.search(r"GPUs in use \d+ of \d+ on \d nodes that are up", pending)
    assert re.search(rf"{held['job_id']} root long 3 ", pending)
    assert re.search(rf"{running['job_id']} root long 1 ", going_on)
    said = words_of(get(application, f"{HOME}run/{held['run']}"))
    assert f"{held['run']} pending its user holds it: scontrol release" in said
    assert "Look again · the queue" in said
    for run in (running, held):
        assert on_slurm("cancel", run["run"]).returncode == 0
