"""Jobs on a real Slurm without accounting, and on this machine: they survive, and the truth is told of them."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from slurm_cluster import until

from clusterplan.launcher.run_folder.cancel_request import write_cancel_request
from clusterplan.launcher.runs.state import OPEN_STATES
from clusterplan.launcher.runs.status import read_statuses

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "cpu_ddp.py"
ENDED_S = 120
AT_ONCE = 8
POLL_S = 0.4  # a question to Slurm starts processes


def program_run(*args, **more):
    program = Path(sys.executable).with_name("clusterplan")
    return subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=False, **more)


class Launched:
    """clusterplan in a folder with a history and runs of its own."""

    slurm = None

    def __init__(self, folder: Path, run) -> None:
        self.folder = folder
        self._run = run
        self.environment = {
            **os.environ,
            "CLUSTERPLAN_HISTORY": str(folder / "history.db"),
            "CLUSTERPLAN_RUNS": str(folder / "runs"),
            "CLUSTERPLAN_LOCKS": str(folder),
            # As in a user's environment: the command's own Python is the one on PATH.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def __call__(self, *args, **more):
        environment = {**self.environment, **more.pop("env", {})}
        return self._run(*args, cwd=more.pop("cwd", self.folder), env=environment, **more)

    def submit(self, *args, **more):
        done = self("submit", "--json", *args, **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self, run: str):
        done = self("status", "--json", run)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["runs"][0]

    def wait(self, run: str, *states: str):
        return self._status_when(lambda state: state in states, run, f"{run} to be {states}")

    def ended(self, run: str):
        return self._status_when(lambda state: state not in OPEN_STATES, run, f"the end of {run}")

    def _status_when(self, fits, run: str, what: str):
        """The program's word, asked when it may be that: to ask it all the time would take a core."""

        def there():
            if fits(read_statuses([self.folder / "runs" / run])[0].state.state):
                now = self.status(run)
                return now if fits(now["state"]) else None
            if self.slurm:
                time.sleep(POLL_S)
            return None

        return until(there, what, ENDED_S)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        new = path.with_name(f"{path.name}.new")  # whole at once: a run may be waiting for it
        new.write_text(text, encoding="utf-8")
        return new.replace(path)


@pytest.fixture
def launched(clusterplan, tmp_path):
    folder = tmp_path / "a 'quoted\" place"
    folder.mkdir()
    return Launched(folder, clusterplan)


STORIES = {}


def story(told):
    """A test that begins with all the others, because most of it is waiting, and is looked at in its turn."""
    STORIES[told.__name__] = told

    def test(stories):
        stories[told.__name__].result()

    test.__name__, test.__doc__ = told.__name__, told.__doc__
    return test


@pytest.fixture(scope="module")
def stories(request, real_slurm, tmp_path_factory):
    asked = {item.name for item in request.session.items}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setenv("SLURM_CONF", str(real_slurm.conf))
        patch.setenv("XDG_CONFIG_HOME", str(profile_of_one_host(tmp_path_factory.mktemp("config"))))
        yield {
            name: pool.submit(_told, told, real_slurm, tmp_path_factory)
            for name, told in STORIES.items()
            if name in asked
        }
    real_slurm.ask("scancel", "--user=root")


def profile_of_one_host(config: Path) -> Path:
    """The test Slurm's profile as `test`: all its nodes are this machine, so they share every folder."""
    folder = config / "clusterplan" / "profiles"
    folder.mkdir(parents=True)
    found = program_run("profiles", "discover").stdout
    (folder / "test.toml").write_text(f'shared_folders = ["/"]\n{found}', encoding="utf-8")
    return config


def _told(told, real_slurm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("story") / "a 'quoted\" place"
    folder.mkdir()
    launched = Launched(folder, program_run)
    launched.slurm = real_slurm
    told(launched)


@pytest.fixture
def on_slurm(slurm, launched, tmp_path):
    launched.slurm = slurm
    profile_of_one_host(tmp_path / "config")
    return launched


ON_TWO_NODES = """
[cluster]
nodes = 2
profile = "test"
"""


def job_file(launched, steps=60, step_time=0.1, more="", where=ON_TWO_NODES):
    """The example on 2 nodes of 2 GPUs."""
    return launched.file(
        "job.toml",
        f"""
name = "ddp"
[data]
samples = {steps * 32 * 4}
[training]
batch_size = 32
gpus = 4
framework = "floor"
precision = "fp32"
{where}
[run]
command = ["python", "{EXAMPLE}", "--steps", "{{max_steps}}", "--batch-size", "{{batch_size}}",
           "--output", "{{output}}", "--step-time", "{step_time}"]
resume = ["--resume", "{{latest}}"]
bootstrap = "per-gpu"
{more}
""",
    )


def _in_a_row(text):
    """Without the spaces of its columns, and what was wrapped in one piece."""
    return " ".join(text.split())


def on_partition(launched, name):
    """Options for typed GPUs of a partition whose limit the profile does not know."""
    profile = launched.file(
        "profile.toml",
        f"""
name = "test"
shared_folders = ["/"]
default_partition = "{name}"
[[partitions]]
name = "{name}"
nodes = 3
gpus_per_node = 8
gpu = "a100-sxm4-80gb"
gres = "a100"
""",
    )
    return ["--profile", profile, "--gpus", "4"]


def slurm_states(run):
    """What Slurm said to the first task of each start as it ended it."""
    files = sorted((Path(run["folder"]) / "tasks").glob("*.0.json"))
    return [json.loads(file.read_text())["slurm_state"] for file in files]


def steps_done(run):
    """From the file itself: under load a command takes longer than many steps."""
    path = Path(run["folder"]) / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


@story
def test_a_run_warned_of_its_limit_twice_resumes_twice_and_completes(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=150))
    seen = 0
    for attempt in range(2):
        until(lambda before=seen: steps_done(run) > before + 5, "steps", ENDED_S)
        on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
        until(lambda after=attempt + 1: _running(run, after), "the next attempt", ENDED_S)
        seen = steps_done(run)
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
def test_an_exit_code_is_told(on_slurm):
    run = on_slurm.submit("--gpus", "1", "--", "python", "-c", "import sys; print('bye'); sys.exit(3)")
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("failed", 3, "exit code 3: bye")


@story
def test_a_killed_job_is_told_though_it_could_say_nothing(on_slurm):
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    on_slurm.wait(run["run"], "running")
    attempt = until(lambda: list((Path(run["folder"]) / "tasks").glob("*.json")), "the attempt")[0]
    until(lambda: json.loads(attempt.read_text())["state"] == "running", "running")
    os.kill(json.loads(attempt.read_text())["pid"], signal.SIGKILL)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["exit_code"]) == ("failed", 137)


@story
def test_memory_that_ran_out_is_named(on_slurm):
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
    run = on_slurm.submit("--gpus", "1", "--", "python", "-c", f"import sys; sys.exit('{words}')")
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == ("out_of_memory", f"exit code 1: {words}")


@story
def test_a_run_cancelled_before_it_began(on_slurm):
    job = job_file(on_slurm, more='[slurm]\nbegin = "now+1hour"\n')
    run = on_slurm.submit(job)
    pending = on_slurm.status(run["run"])
    assert pending["state"] == "pending"
    on_slurm.slurm.ask("scancel", run["job_id"])
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == ("cancelled", "before it began")


@story
def test_a_cancelled_run_gets_its_stop_signal_and_saves(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=2000))
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    assert on_slurm("cancel", run["run"]).returncode == 0
    ended = on_slurm.ended(run["run"])
    assert ended["state"] == "cancelled"
    assert list((Path(run["folder"]) / "output").glob("step_*"))
    assert slurm_states(run)[0] == "CANCELLED"


@story
def test_a_requeue_by_hand_goes_on_from_disk(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=60))
    until(lambda: list((Path(run["folder"]) / "output").glob("step_*")), "a checkpoint", ENDED_S)
    on_slurm.slurm.ask("scontrol", "requeue", run["job_id"])
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 60)
    assert (slurm_states(run), ended["preemptions"]) == (["REQUEUED", None], 0)


@story
def test_one_rank_of_four_that_crashes_ends_the_job_with_its_words(on_slurm):
    script = on_slurm.file(
        "crash.py",
        "import os, time\n"
        "if os.environ['RANK'] == '2':\n    raise ValueError('rank two is unwell')\n"
        "time.sleep(300)\n",
    )
    job = job_file(on_slurm).read_text().replace(str(EXAMPLE), script.name)
    run = on_slurm.submit(on_slurm.file("job.toml", job))
    ended = on_slurm.ended(run["run"])
    assert ended["state"] == "failed"
    assert "ValueError: rank two is unwell" in ended["reason"]


@story
def test_where_requeue_is_forbidden_a_successor_goes_on(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=50), "--no-requeue")
    until(lambda: steps_done(run) > 5, "steps", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 50)
    assert ended["job_id"] != run["job_id"]


@story
def test_a_real_time_out_is_told_and_nothing_is_restarted_for_ever(on_slurm):
    """Nothing is saved, so three attempts are enough; the limit is not waited for."""
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    for attempt in range(3):
        now = until(lambda: _running(run, attempt), f"attempt {attempt}", ENDED_S)  # noqa: B023
        on_slurm.slurm.ask("scancel", "--signal=USR2", now)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["reason"]) == (
        "timed_out",
        "3 attempts in a row saved no checkpoint at all",
    )


def _running(run, attempt):
    path = Path(run["folder"]) / "tasks" / f"{run['job_id']}.{attempt}.0.json"
    return run["job_id"] if path.exists() and json.loads(path.read_text())["state"] == "running" else None


@story
def test_a_run_that_slurm_has_forgotten_is_still_told_of(on_slurm):
    run = on_slurm.submit("--gpus", "1", "--", "true")
    until(lambda: list((Path(run["folder"]) / "submitit").glob("*.exit")), "the end", ENDED_S)
    until(lambda: not on_slurm.slurm.state(run["job_id"]), "Slurm to forget it", 120)
    (Path(run["folder"]) / "status.json").unlink(missing_ok=True)
    assert on_slurm.status(run["run"])["state"] == "completed"


@story
def test_every_argument_arrives_as_it_was_given(on_slurm):
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
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert json.loads(on_slurm("logs", run["run"]).stdout) == hostile
    assert not list(on_slurm.folder.rglob("pwned"))


@story
def test_a_foreign_launcher_in_the_working_folder_is_not_ours(on_slurm):
    for name in ("launcher", "clusterplan", "submitit"):
        (on_slurm.folder / name).mkdir()
        on_slurm.file(f"{name}/__init__.py", "raise SystemExit('the wrong one')")
    run = on_slurm.submit("--gpus", "1", "--", "true")
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_a_sweep_is_one_array_with_a_run_each(on_slurm):
    script = on_slurm.file("lr.py", "import sys; print('lr is', sys.argv[1])")
    done = on_slurm.submit(
        "--gpus", "1", "--sweep", "lr=0.1,0.2,0.3", "--parallel", "2", "--", "python", script, "{lr}"
    )
    assert [run["job_id"].partition("_")[2] for run in done["runs"]] == ["0", "1", "2"]
    said = []
    for run in done["runs"]:
        assert on_slurm.ended(run["run"])["state"] == "completed"
        said.append(on_slurm("logs", run["run"]).stdout.strip())
    assert said == ["lr is 0.1", "lr is 0.2", "lr is 0.3"]
    assert on_slurm.status(done["runs"][1]["run"])["sweep"] == {"lr": "0.2"}
    listed = on_slurm("status").stdout.splitlines()[1:]
    assert sorted(line.split(maxsplit=4)[4] for line in listed) == ["lr 0.1", "lr 0.2", "lr 0.3"]


@story
def test_a_sweep_is_cancelled_as_one(on_slurm):
    on_slurm("submit", "--name", "lr", "--gpus", "1", "--sweep", "k=1..3", "--", "sleep", "30{k}")
    assert on_slurm("cancel", "--all", "lr").stdout.count("asked to stop") == 3
    for run in json.loads(on_slurm("status", "--json", "lr").stdout)["runs"]:
        assert on_slurm.ended(run["run"])["state"] == "cancelled"


@story
def test_runs_teach_the_next_estimate_and_are_held_against_theirs(on_slurm):
    """Unknown, then two runs, then measured and transferred; the next run is put beside its estimate."""
    job = job_file(on_slurm, steps=100, step_time=0.05).read_text().replace('name = "ddp"', 'model = "ddp"')
    job = on_slurm.file("job.toml", job.replace("nodes = 2\n", ""))

    def estimated(gpus):
        return json.loads(on_slurm("estimate", job, "--gpus", gpus, "--json").stdout)

    assert estimated(4)["source"]["kind"] == "unknown"
    for gpus in (1, 2):
        run = on_slurm.submit(job, "--gpus", gpus, "--samples", 32 * gpus * 100)
        assert on_slurm.ended(run["run"])["state"] == "completed"
    assert estimated(2)["source"]["kind"] == "measured"
    assert estimated(4)["step_time_s"]["p50"] == pytest.approx(0.055, rel=0.4)
    run = on_slurm.submit(job, "--gpus", 4)
    assert on_slurm.ended(run["run"])["state"] == "completed"
    report = json.loads(on_slurm("report", run["run"], "--json").stdout)
    assert [forecast["what"] for forecast in report["forecasts"]] == ["step time", "wall-clock"]
    assert report["forecasts"][0]["actual_s"] > 0.05


@story
def test_secrets_stay_out_of_the_script_and_the_record(on_slurm):
    secret = "s3cr3t-value"
    run = on_slurm.submit("--gpus", "1", "--", "true", "--api-key", secret, env={"WANDB_API_KEY": secret})
    on_slurm.ended(run["run"])
    folder = Path(run["folder"])
    assert json.loads((folder / "run.json").read_text())["command"] == ["true", "--api-key", "[redacted]"]
    assert all(secret not in path.read_text() for path in (folder / "submitit").glob("*.sh"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "launch.json").stat().st_mode & 0o777 == 0o600


@story
def test_each_rank_sees_the_gpus_that_slurm_gave_its_job(on_slurm):
    script = on_slurm.file(
        "gpus.py", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['LOCAL_RANK'])"
    )
    job = job_file(on_slurm).read_text().replace(str(EXAMPLE), script.name)
    run = on_slurm.submit(on_slurm.file("job.toml", job))
    assert on_slurm.ended(run["run"])["state"] == "completed"
    seen = [on_slurm("logs", run["run"], "--rank", rank).stdout.split() for rank in range(4)]
    assert [local for _, local in seen] == ["0", "1", "0", "1"]
    assert seen[0][0] == seen[1][0]
    assert len(seen[0][0].split(",")) == 2


@story
def test_a_dry_run_prints_the_script_and_submits_nothing(on_slurm):
    done = on_slurm("submit", "--dry-run", job_file(on_slurm), "--name", "dry-run")
    assert done.returncode == 0
    assert "#SBATCH --nodes=2" in done.stdout
    assert "--kill-on-bad-exit=1" in done.stdout
    assert not list((on_slurm.folder / "runs").glob("*"))
    assert "dry-run" not in on_slurm.slurm.ask("squeue", "--noheader", "--format=%j")


@story
def test_an_option_that_sbatch_does_not_know_is_named(on_slurm):
    done = on_slurm("submit", job_file(on_slurm, more='[slurm]\nnosuch = "x"\n'))
    assert done.returncode == 1
    assert done.stderr == "Error: sbatch refused: unrecognized option '--nosuch=x'\n"


@story
def test_auto_is_resolved_where_slurms_name_of_a_gpu_may_mean_several(on_slurm):
    said = on_slurm("submit", "--dry-run", "--partition", "long", "--gpus", "1", "--", "true").stdout
    assert "CLUSTERPLAN_PRECISION=bf16" in said
    assert "precision bf16 (auto on A100-SXM4-40GB or A100-" in said
    said = on_slurm("submit", "--dry-run", "--partition", "old", "--gpus", "1", "--", "true").stdout
    assert "CLUSTERPLAN_PRECISION=fp16" in said


@story
def test_a_job_of_unknown_time_leaves_its_limit_to_the_partition(on_slurm):
    script = on_slurm("submit", "--dry-run", "--gpus", "1", "--", "true").stdout
    assert "--time" not in script
    assert "--wckey" not in script


@story
def test_the_receipt_says_what_is_booked(on_slurm):
    said = on_slurm("submit", "--profile", "test", "--nodes", "2", "--gpus", "4", "--", "true").stdout
    assert "asks 4 x a100 2 nodes of 2 in partition long " in _in_a_row(said)


@story
def test_the_warning_fits_the_limit_of_the_partition(on_slurm):
    done = on_slurm("submit", "--dry-run", "--partition", "short", "--gpus", "1", "--", "true")
    assert "Slurm may tell the run to save up to 1m 30s before its 2m are over" in done.stderr
    assert "#SBATCH --signal=USR2@30\n" in done.stdout
    assert "warned 30 s before the partition's limit of 2m, to save and go on" in done.stdout


@story
def test_a_warning_before_anything_has_begun_kills_nothing(on_slurm):
    """The case of exit code 140: Python is still starting."""
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "3")
    on_slurm.slurm.wait_for(run["job_id"], "RUNNING", within_s=ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    assert on_slurm.ended(run["run"])["state"] == "completed"


TRAINS_ON = """
import os, sys, time
from pathlib import Path
from clusterplan import track
for step in track(range(10**6)):
    Path("steps").write_text(str(step))
    if os.path.exists("end"):
        sys.exit(int(Path("end").read_text()))
    time.sleep(0.02)
"""


@contextmanager
def small_disk(launched):
    """Run folders go to a disk of 4 MB; gives the function that fills it and the one that makes room again."""
    disk = launched.folder / "small"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    launched.environment["CLUSTERPLAN_RUNS"] = str(disk)

    def fill():
        with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(512)):
                pass

    try:
        yield fill, (disk / "filler").unlink
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def runs_over_a_full_disk(launched, run, code, fill):
    """Fill the disk while the run trains, see that it trains on, and let it end with `code`."""
    count = launched.folder / "steps"

    def steps():
        return int(count.read_text() or 0) if count.exists() else 0

    until(lambda: steps() > 5, "steps", ENDED_S)
    fill()
    before = steps()
    until(lambda: steps() > before + 50, "steps on a full disk", ENDED_S)
    launched.file("end", str(code))
    return launched.ended(run["run"])


@story
def test_a_disk_that_fills_up_does_not_end_a_run(on_slurm):
    with small_disk(on_slurm) as (fill, make_room):
        run = on_slurm.submit("--gpus", "1", "--", "python", on_slurm.file("train.py", TRAINS_ON))
        ended = runs_over_a_full_disk(on_slurm, run, 0, fill)
        assert (ended["state"], ended["attempts"], ended["exit_code"]) == ("completed", 1, 0)
        make_room()
        until(lambda: not on_slurm.slurm.state(run["job_id"]), "Slurm to forget it", 120)
        assert on_slurm.status(run["run"])["state"] == "completed"


@story
def test_what_an_attempt_killed_while_saving_left_is_no_obstacle(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=5, more="[slurm]\nhold = true\n"))
    for rank in range(4):
        (Path(run["folder"]) / "submitit" / f"{run['job_id']}_{rank}_result.pkl.save_tmp").touch()
    on_slurm.slurm.ask("scontrol", "release", run["job_id"])
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_a_job_whose_dependency_failed_says_that_it_never_starts(on_slurm):
    first = on_slurm.submit("--gpus", "1", "--", "false")
    job = job_file(on_slurm, more=f'[slurm]\ndependency = "afterok:{first["job_id"]}"\n')
    second = on_slurm.submit(job)
    on_slurm.ended(first["run"])
    never = "the job it depends on did not end as required: it will never start, so cancel it"
    until(lambda: never in on_slurm.status(second["run"])["reason"], never, ENDED_S)
    assert on_slurm.status(second["run"])["state"] == "pending"


@story
def test_more_time_than_the_partition_allows_is_not_waited_for_unsaid(on_slurm):
    run = on_slurm.submit("--force", "--time", "10m", *on_partition(on_slurm, "short"), "--", "true")
    never = "it asks for more time than its partition allows: it will never start, so cancel it"
    until(lambda: on_slurm.status(run["run"])["reason"] == never, never, ENDED_S)
    assert on_slurm.status(run["run"])["state"] == "pending"


@story
def test_a_partition_that_is_not_there_is_said_of_the_cluster(on_slurm):
    done = on_slurm("submit", "--partition", "nope", "--gpus", "1", "--", "true")
    said = "Error: partition 'nope' is none of test with GPUs: say one of short, long, preempt, old\n"
    assert (done.returncode, done.stderr) == (2, said)


@story
def test_a_refused_submission_leaves_nothing_behind(on_slurm):
    done = on_slurm("submit", job_file(on_slurm, more='[slurm]\nnodelist = "nowhere"\n'))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: sbatch refused: ")
    assert "nvalid node name specified" in done.stderr
    assert not list((on_slurm.folder / "runs").glob("*"))


@story
def test_a_run_submitted_from_inside_a_job_has_its_own_shape(on_slurm):
    inner = ["clusterplan", "submit", "--json", "--gpus", "1", "--", "true"]
    outer = on_slurm.submit("--profile", "test", "--gpus", "2", "--nodes", "2", "--", "env", *inner)
    assert on_slurm.ended(outer["run"])["state"] == "completed"
    said = on_slurm("logs", outer["run"]).stdout
    assert "submitted from inside job" in said
    run = json.loads(said[said.index("{") :])
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_two_submissions_of_one_job_file_at_once_are_two_runs(on_slurm):
    job = job_file(on_slurm, steps=5)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: on_slurm.submit(job), range(2)))
    assert len({run["run"] for run in runs}) == 2
    assert [on_slurm.ended(run["run"])["state"] for run in runs] == ["completed"] * 2


SAVES_SLOWLY = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saving").touch()
    time.sleep(3)
    (pathlib.Path(sys.argv[1]) / "step_5").mkdir(parents=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
pathlib.Path("up").touch()
time.sleep(300)
"""


def _cancelled_while_it_saves(on_slurm, cancel):
    script = on_slurm.file("slow.py", SAVES_SLOWLY)
    run = on_slurm.submit("--gpus", "1", "--", "python", script, "{output}")
    until((on_slurm.folder / "up").exists, "the script", ENDED_S)
    on_slurm.slurm.ask("scancel", "--signal=USR2", run["job_id"])
    until((on_slurm.folder / "saving").exists, "it to save", ENDED_S)
    cancel(run)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"]) == ("cancelled", 1)
    assert (Path(run["folder"]) / "output" / "step_5").exists()
    assert on_slurm.slurm.state(run["job_id"]) in ("CANCELLED", "")


@story
def test_a_run_cancelled_while_it_saves_does_not_come_back(on_slurm):
    _cancelled_while_it_saves(on_slurm, lambda run: on_slurm("cancel", run["run"]))


@story
def test_a_job_cancelled_by_hand_while_it_saves_does_not_come_back(on_slurm):
    _cancelled_while_it_saves(on_slurm, lambda run: on_slurm.slurm.ask("scancel", run["job_id"]))


def _held(on_slurm):
    return on_slurm.submit(job_file(on_slurm, steps=5, more="[slurm]\nhold = true\n"))


@story
def test_a_run_that_was_given_up_as_lost_runs_all_the_same(on_slurm):
    run = _held(on_slurm)
    guess = {"state": "lost", "exit_code": None, "ended_s": 1.0, "reason": "nobody knows it", "error": None}
    (Path(run["folder"]) / "status.json").write_text(json.dumps(guess))
    assert on_slurm.status(run["run"])["state"] == "pending"
    on_slurm.slurm.ask("scontrol", "release", run["job_id"])
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 5)


@story
def test_a_job_of_another_cluster_is_not_taken_for_lost(on_slurm):
    run = _held(on_slurm)
    jobs = Path(run["folder"]) / "jobs.jsonl"
    noted = json.loads(jobs.read_text())
    assert noted["cluster"] == "test"
    jobs.write_text(json.dumps(noted | {"cluster": "elsewhere"}) + "\n")
    told = on_slurm.status(run["run"])
    assert told["state"] == "pending"
    assert told["reason"].startswith("on cluster elsewhere; submitted ")
    on_slurm.slurm.ask("scancel", run["job_id"])


@story
def test_ctrl_c_while_slurm_is_asked_waits_for_its_answer(on_slurm):
    slow = on_slurm.folder / "sbatch"
    slow.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" && touch asked && sleep 2\n')
    slow.chmod(0o755)
    path = f"{on_slurm.folder}{os.pathsep}{on_slurm.environment['PATH']}"
    command = [Path(sys.executable).with_name("clusterplan"), "submit", "--json", "--gpus", "1", "--", "true"]
    environment = {**on_slurm.environment, "PATH": path}
    with subprocess.Popen(
        command, cwd=on_slurm.folder, env=environment, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        until((on_slurm.folder / "asked").exists, "sbatch", ENDED_S)
        os.killpg(process.pid, signal.SIGINT)
        run = json.loads(process.communicate()[0])
    assert on_slurm.ended(run["run"])["state"] == "completed"


@story
def test_each_run_of_a_sweep_is_told_its_own_end(on_slurm):
    on_slurm("submit", "--gpus", "1", "--sweep", "k=1,2", "--", "sleep", "30{k}")
    runs = json.loads(on_slurm("status", "--json").stdout)["runs"]
    for run in runs:
        on_slurm.wait(run["run"], "running")
        attempts = Path(run["folder"]) / "tasks"
        told = until(
            lambda where=attempts: [
                values
                for path in where.glob("*.json")
                if (values := json.loads(path.read_text()))["state"] == "running"
            ],
            "the attempt",
        )
        os.kill(told[0]["pid"], signal.SIGKILL)
    ended = [on_slurm.ended(run["run"]) for run in runs]
    assert [(run["state"], run["exit_code"]) for run in ended] == [("failed", 137)] * 2


@story
def test_a_job_submitted_from_inside_a_run_of_this_machine_is_slurms(on_slurm):
    left = {"SUBMITIT_LOCAL_JOB_ID": "5", "SUBMITIT_EXECUTOR": "local", "CLUSTERPLAN_ATTEMPT": "5.0"}
    run = on_slurm.submit("--gpus", "1", "--", "true", env=left)
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert [path.name for path in (Path(run["folder"]) / "tasks").iterdir()] == [f"{run['job_id']}.0.0.json"]


@story
def test_without_scontrol_on_the_node_a_successor_goes_on(on_slurm):
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
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 2, 50)
    assert ended["job_id"] != run["job_id"]


# On this machine, without Slurm


def test_a_run_says_how_many_gpus_hold_a_replica(launched):
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 4\ntensor_parallel = 2\n"
        "[run]\nbootstrap = 'single'\ncommand = ['true']\n",
    )
    run = launched.submit("--executor", "local", job)
    assert json.loads((Path(run["folder"]) / "run.json").read_text())["shape"]["model_parallel"] == 2


def test_several_gpus_need_the_torchrun_of_the_commands_own_python(launched):
    python = launched.folder / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python.parents[1]], check=True)
    script = launched.file("train.py", "print('trained')\n")
    done = launched("submit", "--executor", "local", "--gpus", "2", "--", python, script)
    assert done.returncode == 2
    assert (
        f"{python} has no torch, and several GPUs of a Python command are started by torchrun" in done.stderr
    )
    assert not (launched.folder / "runs").exists()


def test_a_run_without_a_gpu_is_said_to_have_none(launched):
    said = launched("submit", "--executor", "local", "--gpus", "2", "--", "true").stdout
    assert "no GPU there is no whole one on this machine: the run starts without " in _in_a_row(said)


def test_a_command_that_failed_in_silence_is_told_with_its_code(launched):
    run = launched.submit("--executor", "local", "--", "sh", "-c", "exit 3")
    said = "exit code 3; the command saved no new checkpoint before it failed"
    assert launched.ended(run["run"])["reason"] == said


def test_a_run_cancelled_as_soon_as_it_is_started_ends(launched):
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    assert launched("cancel", run["run"]).returncode == 0
    assert launched.ended(run["run"])["state"] == "cancelled"


@pytest.mark.slow  # a heartbeat is 20 s
def test_a_run_cancelled_from_another_machine_ends(launched):
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    write_cancel_request(Path(run["folder"]))
    assert launched.ended(run["run"])["state"] == "cancelled"


def test_the_task_that_failed_has_the_word(launched):
    rank = "import os, sys, time; r = os.environ['RANK']; r == '1' and sys.exit('rank one is unwell'); time.sleep(60)"
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 2\n"
        f"[run]\nbootstrap = 'per-gpu'\ncommand = {json.dumps(['python', '-c', rank])}\n",
    )
    ended = launched.ended(launched.submit("--executor", "local", job)["run"])
    assert (ended["state"], ended["reason"]) == ("failed", "exit code 1: rank one is unwell")


def test_restarts_do_not_lengthen_the_time_asked_for(launched):
    fails = launched.file(
        "fails.py",
        "import pathlib, sys, time\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "time.sleep(0.5)\n"
        "saved = out / f'step_{len(list(out.iterdir())) + 1}'\n"
        "saved.mkdir()\n"
        "(saved / 'model.pt').touch()\n"
        "sys.exit(1)\n",
    )
    run = launched.submit("--executor", "local", "--time", "9s", "--", "python", fails, "{output}")
    ended = launched.ended(run["run"])
    assert ended["state"] == "timed_out"
    assert ended["attempts"] > 1


def test_the_same_example_runs_here(launched):
    run = launched.submit("--executor", "local", job_file(launched, steps=20, step_time=0.02, where=""))
    ended = launched.ended(run["run"])
    assert (ended["state"], ended["steps_done"]) == ("completed", 20)


def test_a_deepspeed_run_gets_a_config_of_its_own_in_its_precision(launched):
    launched.file("ds.json", '{"zero_optimization": {"stage": 2}}')
    launched.file("show.py", "import sys; print(open(sys.argv[2]).read())")
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'deepspeed'\nprecision = 'bf16'\n"
        "[run]\ncommand = ['python', 'show.py', '--deepspeed_config', 'ds.json']\n",
    )
    run = launched.submit("--executor", "local", job)
    assert launched.ended(run["run"])["state"] == "completed"
    seen = json.loads(launched("logs", run["run"]).stdout)
    assert (seen["bf16"], seen["zero_optimization"]) == ({"enabled": True}, {"stage": 2})


@pytest.mark.parametrize(("code", "state"), [(0, "completed"), (3, "failed")])
def test_a_disk_that_fills_up_does_not_end_a_run_here(launched, code, state):
    with small_disk(launched) as (fill, _):
        script = launched.file("train.py", TRAINS_ON)
        run = launched.submit("--executor", "local", "--", "python", script)
        ended = runs_over_a_full_disk(launched, run, code, fill)
    assert (ended["state"], ended["exit_code"]) == (state, code)


def test_runs_of_a_sweep_resume_from_their_own_checkpoints_alone(launched):
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[checkpoint]\nfolder = 'kept'\n"
        """[run]\ncommand = ['sh', '-c', 'touch "$0/step_$1"', '{output}', '{seed}']\n""",
    )
    runs = [run["run"] for run in launched.submit("--executor", "local", job, "--sweep", "seed=3..4")["runs"]]
    assert [launched.ended(run)["state"] for run in runs] == ["completed"] * 2
    elsewhere = [json.loads(launched("status", "--json", run, cwd="/").stdout)["runs"][0] for run in runs]
    assert [run["steps_done"] for run in elsewhere] == [3, 4]
    assert sorted(path.name for path in (launched.folder / "kept").iterdir()) == sorted(runs)


def test_a_run_of_its_own_has_the_folder_of_checkpoints_as_it_was_given(launched):
    job = launched.file(
        "job.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\n[checkpoint]\nfolder = 'kept'\n"
        "[run]\ncommand = ['echo', '{output}']\n",
    )
    shown = launched("submit", "--executor", "local", "--dry-run", job).stdout
    assert f"echo {shlex.quote(str(launched.folder / 'kept'))}\n" in shown


def test_a_precision_that_the_command_has_is_kept_under_auto(launched):
    job = launched.file(
        "hf.toml",
        "[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'hf'\n"
        "[run]\ncommand = ['python', 'train.py', '--fp16']\n",
    )
    shown = launched("submit", "--executor", "local", "--profile", "slurm-a100", "--dry-run", job).stdout
    assert "CLUSTERPLAN_PRECISION=fp16" in shown


def test_a_dry_run_names_the_port_by_its_rule(launched):
    launched.file("train.py", "")
    shown = launched(
        "submit", "--executor", "local", "--dry-run", "--gpus", "2", "--", "python", "train.py"
    ).stdout
    assert "--master_port=$MASTER_PORT train.py" in shown
    assert "MASTER_PORT=20000 + crc32(job id) % 12768" in shown


def test_a_local_run_that_is_killed_is_told(launched):
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    attempt = next((Path(run["folder"]) / "tasks").glob("*.json"))
    os.kill(json.loads(attempt.read_text())["pid"], signal.SIGKILL)
    assert launched.ended(run["run"])["state"] == "failed"


def test_the_diff_of_the_code_has_a_file_of_its_own(launched):
    script = launched.file("train.py", "before = 1\n")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=launched.folder, check=True)
    script.write_text("after = 2\n")
    folder = Path(launched.submit("--executor", "local", "--", "true")["folder"])
    assert (folder / "git.diff").read_text().endswith("-before = 1\n+after = 2\n")
    assert "diff" not in json.loads((folder / "run.json").read_text())


def test_a_local_run_is_cancelled(launched):
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    assert launched("cancel", run["run"]).returncode == 0
    assert launched.ended(run["run"])["state"] == "cancelled"


@pytest.mark.parametrize(
    ("stated", "saved"),
    [("every_steps = 50", "--save_steps 50"), ("", "--save_steps 200"), ("every_steps = 0", None)],
)
def test_a_trainer_saves_as_the_job_file_says_else_before_its_end(launched, stated, saved):
    job = launched.file(
        "hf.toml",
        "[data]\nsamples = 12800\n[training]\nbatch_size = 32\ngpus = 2\nframework = 'hf'\n"
        f"[throughput]\nstep_time = 1\n[checkpoint]\n{stated}\n[run]\ncommand = ['python', 'train.py']\n",
    )
    shown = launched("submit", "--executor", "local", "--dry-run", job).stdout
    assert saved in shown if saved else "--save" not in shown


@pytest.mark.parametrize(
    ("knows", "command", "added"),
    [
        ("enable_jit_checkpoint: bool", "'python', 'train.py'", True),
        ("", "'python', 'train.py'", False),  # as transformers 4
        ("enable_jit_checkpoint: bool", "'python', 'train.py', '--enable_jit_checkpoint', 'False'", False),
        ("enable_jit_checkpoint: bool", "'bash', 'train.sh'", False),
    ],
)
def test_a_trainer_that_can_save_as_it_is_stopped_is_told_to(launched, knows, command, added):
    library = launched.folder / "transformers"
    library.mkdir()
    (library / "__init__.py").write_text("raise SystemExit('it takes seconds to import')")
    (library / "training_args.py").write_text(knows)
    job = launched.file(
        "hf.toml",
        f"[data]\nsamples = 8\n[training]\nbatch_size = 8\ngpus = 1\nframework = 'hf'\n[run]\ncommand = [{command}]\n",
    )
    shown = launched(
        "submit", "--executor", "local", "--dry-run", job, env={"PYTHONPATH": str(launched.folder)}
    ).stdout
    assert ("train.py --enable_jit_checkpoint\n" in shown) is added
    assert ("saving when it is stopped: --enable_jit_checkpoint added" in shown) is added


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--gpus", "1", "--", "no-such-program"], "command 'no-such-program' is not found"),
        (["--gpus", "1"], "there is no command"),
        (["--gpus", "1,2", "--", "true"], "submit takes one value"),
        (["--gpus", "1", "--sweep", "lr=1,2", "--", "true"], "no placeholder {lr}"),
        (["--gpus", "1", "--sweep", "lr", "--", "true"], "is no sweep"),
        (
            ["--gpus", "1", *(f"--sweep={name}=1..9999" for name in "abc"), "--", "true"],
            "--sweep: 999,700,029,999 runs are more than 10,000",
        ),
        (["--gpus", "1", "--time", "soon", "--", "true"], "--time: 'soon'"),
        (["--gpus", "1", "--", "echo", "{latest}"], "{latest} is known only"),
        (["--gpus", "1", "--", "echo", "{lr}"], "or give it values by --sweep lr=A,B"),
        (["--executor", "local", "--nodes", "2", "--gpus", "2", "--", "true"], "this machine is one"),
        (
            ["--gpus", "1", "--sweep", "lr=1,2", "--parallel", "1", "--", "echo", "{lr}"],
            "--parallel: on this machine",
        ),
        (
            ["--gpus", "1", "--partition", "long", "--", "true"],
            "partition 'long': partitions are Slurm's, and this machine runs the job: leave it out",
        ),
        (["--gpus", "1", "--dry-run", "--json", "--", "true"], "--dry-run prints text: leave out --json"),
        (
            ["python", "train.py", "--gpus", "2"],
            "put -- before the command: clusterplan submit --executor local -- python train.py --gpus 2",
        ),
        (
            ["job.toml", "--gpus", "2", "env", "-i"],
            "submit --executor local job.toml --gpus 2 -- env -i",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_made(launched, args, said):
    done = (
        launched("submit", "--executor", "local", *args)
        if "--executor" not in args
        else launched("submit", *args)
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (launched.folder / "runs").exists() or not list((launched.folder / "runs").iterdir())


@pytest.mark.parametrize("before", [["--gpus", "2"], ["--gpus", "2", "--"], ["{job}", "--gpus", "2", "--"]])
def test_flags_stand_before_the_command(launched, before):
    words = [word.format(job=job_file(launched, where="")) for word in before]
    done = launched("submit", "--executor", "local", "--dry-run", *words, "env", *["-i"] * ("--" in before))
    assert done.returncode == 0, done.stderr
    assert "CLUSTERPLAN_GPUS=2" in done.stdout
    assert ("  task 0: env -i\n" in done.stdout) is ("--" in before)


def test_the_help_offers_no_table(clusterplan):
    assert "several" not in clusterplan("submit", "--help").stdout
    assert _in_a_row(clusterplan("estimate", "--help").stdout).count("several make a table") == 2


def test_flags_may_follow_a_job_file(launched):
    shown = launched("submit", job_file(launched, where=""), "--dry-run", "--executor", "local", "--gpus", 3)
    assert "CLUSTERPLAN_GPUS=3" in shown.stdout


@pytest.mark.parametrize(
    ("flag", "placeholder"), [("--batch-size", "{batch_size}"), ("--epochs", "{max_steps}")]
)
def test_a_changed_number_that_does_not_reach_the_command_is_refused(launched, flag, placeholder):
    job = job_file(launched, where="").read_text().replace(placeholder, "32")
    done = launched("submit", "--executor", "local", launched.file("job.toml", job), flag, "64")
    assert (done.returncode, f"{flag}: the command has no placeholder {placeholder}" in done.stderr) == (
        2,
        True,
    )


@pytest.fixture
def without_slurm(launched):
    """PATH has no command of Slurm."""
    few = launched.folder / "bin"
    few.mkdir()
    for name in ("env", "python"):
        (few / name).symlink_to(shutil.which(name))
    launched.environment["PATH"] = str(few)
    return launched


def test_no_sbatch_and_slurm_asked_for(without_slurm):
    done = without_slurm("submit", "--executor", "slurm", "--gpus", "1", "--", "env")
    assert done.returncode == 3
    assert "sbatch is not found here" in done.stderr


def test_the_script_is_shown_where_there_is_no_slurm(without_slurm):
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "2", "--", "env")
    assert (done.returncode, done.stderr) == (0, "")
    assert "#SBATCH --gpus-per-node=2" in done.stdout


@pytest.mark.parametrize(("own", "account"), [("", "lab"), ('[slurm]\naccount = "own"', "own")])
def test_the_account_that_a_user_keeps_for_all_jobs_pays_unless_the_job_file_has_one(
    without_slurm, own, account
):
    job = job_file(without_slurm, more=own, where="")
    asked = ["--executor", "slurm", "--dry-run", "--force", job]
    kept = {"SBATCH_ACCOUNT": "lab", "SBATCH_PARTITION": "cpu"}
    shown = without_slurm("submit", *asked, env=kept).stdout
    assert f"#SBATCH --account={account}\n" in shown
    assert ("--account=lab, as SBATCH_ACCOUNT says" in shown) is (account == "lab")
    assert "partition" not in shown


@pytest.mark.parametrize(("more", "alone"), [([], True), (["--nnodes", "2"], False)])
def test_torchrun_that_is_told_of_no_other_node_is_warned_of(without_slurm, more, alone):
    (without_slurm.folder / "bin" / "torchrun").symlink_to(shutil.which("env"))
    (without_slurm.folder / "train.py").touch()
    asked = ["--executor", "slurm", "--dry-run", "--gpus", "16", "--", "torchrun", *more, "train.py"]
    assert ("torchrun without --nnodes" in without_slurm("submit", *asked).stderr) is alone


def test_a_shared_folder_may_be_a_link(without_slurm):
    (without_slurm.folder / "gpfs").mkdir()
    (without_slurm.folder / "home").symlink_to(without_slurm.folder / "gpfs")
    home = json.dumps(str(without_slurm.folder / "home"))
    shape = '[[partitions]]\nname = "gpu"\nnodes = 2\ngpus_per_node = 8\n'
    profile = without_slurm.file("site.toml", f'name = "site"\nshared_folders = [{home}]\n{shape}')
    asked = ["--executor", "slurm", "--dry-run", "--profile", profile, "--gpus", "16", "--", "env"]
    runs = {"CLUSTERPLAN_RUNS": str(without_slurm.folder / "home" / "runs")}
    assert without_slurm("submit", *asked, env=runs).stderr == ""
    assert "would not all see" in without_slurm("submit", *asked).stderr


@pytest.mark.parametrize(
    ("option", "right"),
    [("no-requeue", "use --no-requeue"), ("ntasks", "use run.bootstrap"), ("wait", "use --follow")],
)
def test_an_option_of_sbatch_that_contradicts_ours_is_refused_with_the_right_place(
    without_slurm, option, right
):
    job = job_file(without_slurm, more=f"[slurm]\n{option} = true\n", where="")
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", job)
    assert (done.returncode, f"{option} is set by clusterplan: {right}" in done.stderr) == (2, True)


def test_slurm_is_told_the_account(on_slurm):
    run = on_slurm.submit("--gpus", "1", "--", "true", env={"SBATCH_ACCOUNT": "lab"})
    assert "Account=lab" in on_slurm.slurm.ask("scontrol", "show", "job", run["job_id"])


def test_gpus_that_do_not_divide_over_their_nodes_are_refused_with_what_does(without_slurm):
    done = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "9", "--", "env")
    said = "Error: 9 GPUs do not divide over 2 nodes of 8: give 8, 10 or 16, or --nodes 3\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize(("said", "at_once"), [([], 300), (["--parallel", "2"], 2)])
def test_a_sweep_is_limited_only_as_asked(without_slurm, said, at_once):
    sweep = ["--sweep", "seed=1..300", *said, "--", "env", "{seed}"]
    shown = without_slurm("submit", "--executor", "slurm", "--dry-run", "--gpus", "1", *sweep).stdout
    assert f"#SBATCH --array=0-299%{at_once}\n" in shown


def test_srun_is_for_the_nodes_to_have(slurm, without_slurm):
    for name in ("sbatch", "scontrol", "sinfo", "squeue"):
        (without_slurm.folder / "bin" / name).symlink_to(shutil.which(name))
    run = without_slurm.submit("--gpus", "1", "--", "/usr/bin/env")
    assert slurm.state(run["job_id"])


def test_no_slurm_at_submission_leaves_nothing_behind(on_slurm):
    with on_slurm.slurm.without("slurmctld"):
        done = on_slurm("submit", "--gpus", "1", "--", "true")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: Slurm does not answer: ")
    assert not list((on_slurm.folder / "runs").glob("*"))


@pytest.fixture
def silent_slurm(launched):
    """Slurm's commands are there, and no cluster."""
    if not shutil.which("scontrol"):
        pytest.skip("Slurm is not installed")
    nobody = "ClusterName=none\nSlurmctldHost=none(127.0.0.1)\nSlurmctldPort=1\nMessageTimeout=1\n"
    launched.environment["SLURM_CONF"] = str(launched.file("slurm.conf", nobody))
    return launched


def test_a_slurm_that_does_not_answer_is_no_reason_to_stop(silent_slurm):
    done = silent_slurm("submit", "--gpus", "1", "--", "true")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: Slurm does not answer: ")
    assert done.stderr.endswith("; --executor local runs it on this machine\n")


def test_a_script_is_shown_where_slurm_does_not_answer(silent_slurm):
    shown = silent_slurm("submit", "--dry-run", "--profile", "slurm-a100", "--gpus", "2", "--", "true")
    assert (shown.returncode, shown.stderr.count("\n")) == (0, 1)
    assert shown.stderr.startswith("Slurm does not answer: ")
    assert "#SBATCH --gpus-per-node=a100:2" in shown.stdout


def test_a_full_disk_at_submission_is_one_line_and_leaves_nothing(launched):
    done = launched(
        "submit", "--executor", "local", "--", "true", preexec_fn=lambda: _most_bytes_of_a_file(10)
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not list((launched.folder / "runs").glob("*"))


def _most_bytes_of_a_file(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


# Alone on the cluster, because others would feel it


@pytest.mark.slow
def test_a_preempted_run_says_so_and_goes_on(on_slurm):
    job = job_file(on_slurm, steps=80, where='[cluster]\nnodes = 3\npartition = "preempt"\n')
    run = on_slurm.submit("--force", "--gpus", 3, job)
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    on_slurm.slurm.sbatch("--nodes=3", "--exclusive", command="sleep 2")
    taken = "restarts: a job of higher priority took its place"
    until(lambda: taken in on_slurm.status(run["run"])["reason"], taken, ENDED_S)
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["preemptions"]) == ("completed", 2, 1)
    assert "1 restart (1 preempted)" in on_slurm("status").stdout


@pytest.mark.slow
def test_a_controller_that_is_restarted_changes_nothing(on_slurm):
    run = on_slurm.submit(job_file(on_slurm, steps=150))
    until(lambda: steps_done(run) > 3, "steps", ENDED_S)
    with on_slurm.slurm.without("slurmctld"):
        said = on_slurm.status(run["run"])
    assert said["state"] == "running"
    assert said["reason"].startswith("Slurm does not answer; last heartbeat ")
    ended = on_slurm.ended(run["run"])
    assert (ended["state"], ended["attempts"], ended["steps_done"]) == ("completed", 1, 150)


@pytest.mark.slow
def test_a_controller_that_hangs_is_said_to_not_answer(on_slurm):
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300")
    on_slurm.wait(run["run"], "running")
    with on_slurm.slurm.hung():
        said = on_slurm.status(run["run"])
        reported = json.loads(on_slurm("report", "--json", run["run"]).stdout)
    assert said["state"] == "running"
    assert said["reason"].startswith("Slurm does not answer; last heartbeat ")
    assert reported["state"] == "running"


@pytest.mark.slow
def test_a_real_time_limit_of_a_minute_is_survived(on_slurm):
    """Slurm warns up to a minute early, so how often it restarts is Slurm's to say."""
    job = job_file(on_slurm, steps=150, step_time=0.5)
    run = on_slurm.submit("--time", "1m", *on_partition(on_slurm, "short"), job)

    def over():
        time.sleep(POLL_S)
        now = on_slurm.status(run["run"])
        return now if now["state"] not in ("pending", "running") else None

    ended = until(over, "the end", 500)
    assert (ended["state"], ended["steps_done"]) == ("completed", 150)
    assert ended["attempts"] >= 2


@pytest.mark.slow
@pytest.mark.slurm
def test_accounting_tells_of_a_job_that_slurm_has_forgotten(slurm_with_accounting, launched):
    """Cancelled while it waited, by another hand: nothing of it is in its folder, which would be `lost`."""
    run = launched.submit(
        job_file(launched, more='[slurm]\nbegin = "now+1hour"\n', where="[cluster]\nnodes = 2\n"), "--force"
    )
    slurm_with_accounting.ask("scancel", run["job_id"])
    until(lambda: not slurm_with_accounting.state(run["job_id"]), "Slurm to forget it", 120)
    said = launched.status(run["run"])
    assert (said["state"], said["reason"]) == ("cancelled", "before it began")
