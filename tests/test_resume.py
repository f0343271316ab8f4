"""An ended run goes on: `clusterplan resume`, on this machine."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from launched import ENDED_S, in_one_row
from slurm_cluster import until

from clusterplan.launcher.run_folder.locks.resumptions import begin_resumption, next_resumption

# Saves every 10 steps; ends with the code in the file `end` at a multiple of 20, or at --steps.
TRAINS = """
import argparse, os, signal, sys, time
from pathlib import Path
from clusterplan import track

parser = argparse.ArgumentParser()
for name in ("--steps", "--batch-size", "--accumulation"):
    parser.add_argument(name, type=int, default=0)
parser.add_argument("--output", type=Path)
parser.add_argument("--resume")
options = parser.parse_args()
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
start = int(options.resume.rpartition("_")[2]) if options.resume else 0
print(f"from {start} with {options.batch_size} x {options.accumulation}", flush=True)
for step in track(range(start + 1, options.steps + 1), start=start, total=options.steps):
    time.sleep(0.005)
    if step % 10 == 0 or stopped:
        (options.output / f"step_{step}").mkdir(exist_ok=True)
        (options.output / f"step_{step}" / "weights.bin").write_text("w")
    if stopped:
        sys.exit(75)
    if step % 20 == 0 and step > start and os.path.exists("end"):
        code = Path("end").read_text()
        if code == "oom":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sys.exit(int(code))
"""


def job(launched: Any, steps: int = 60, more: str = "") -> Any:
    launched.file("train.py", TRAINS)
    return launched.file(
        "job.toml",
        f"""
name = "net"
[data]
samples = {steps * 8}
[training]
batch_size = 8
gpus = 1
framework = "floor"
precision = "fp32"
[run]
command = ["python", "train.py", "--steps", "{{max_steps}}", "--batch-size", "{{batch_size}}",
           "--accumulation", "{{accumulation}}", "--output", "{{output}}"]
resume = ["--resume", "{{latest}}"]
max_restarts = 0
{more}
""",
    )


def ended(launched: Any, code: Any = 3, state: str = "failed", **more: Any) -> Any:
    launched.file("end", str(code))
    run = launched.submit("--executor", "local", job(launched, **more))
    assert launched.ended(run["run"])["state"] == state
    (launched.folder / "end").unlink()
    return run


def resumed(launched: Any, run: str, *args: Any) -> Any:
    done = launched("resume", "--json", run, *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def log(run: Any) -> list[str]:
    return (Path(run["folder"]) / "logs" / "0.log").read_text().splitlines()


def test_a_failed_run_goes_on_from_its_newest_checkpoint_as_the_same_run(launched: Any) -> None:
    run = ended(launched)
    shown = launched("resume", run["run"])
    assert shown.returncode == 0, shown.stderr
    path = f"{run['folder']}/output/step_20"
    assert f"{run['run']} goes on at step 20, from {path}: the same run" in in_one_row(shown.stdout)
    after = launched.ended(run["run"])
    assert (after["state"], after["steps_done"], after["attempts"]) == ("completed", 60, 2)
    assert log(run) == ["from 0 with 8 x 1", "from 20 with 8 x 1"]
    assert len(list((launched.folder / "runs").iterdir())) == 1


@pytest.mark.slow
def test_the_history_knows_the_later_end(launched: Any) -> None:
    run = ended(launched)
    assert json.loads(launched("history", "list", "--json").stdout)[0]["state"] == "failed"
    resumed(launched, run["run"])
    launched.ended(run["run"])
    assert [row["state"] for row in json.loads(launched("history", "list", "--json").stdout)] == ["completed"]


def test_a_cancelled_run_goes_on(launched: Any) -> None:
    run = launched.submit("--executor", "local", job(launched, steps=400))
    until((Path(run["folder"]) / "output" / "step_10").exists, "a checkpoint", ENDED_S)
    launched("cancel", run["run"])
    assert launched.ended(run["run"])["state"] == "cancelled"
    step = resumed(launched, run["run"])["step"]
    assert step >= 10
    after = launched.ended(run["run"])
    assert (after["state"], log(run)[-1]) == ("completed", f"from {step} with 8 x 1")


def test_out_of_memory_goes_on_as_a_new_run_with_half_the_micro_batch(launched: Any) -> None:
    run = ended(launched, "oom", "out_of_memory")
    shown = launched("resume", run["run"], "--batch-size", 4, "--accumulation", 2, "--json")
    assert shown.returncode == 0, shown.stderr
    new = json.loads(shown.stdout)
    assert (new["resumes"], new["step"]) == (run["run"], 20)
    assert new["changes"] == ["batch_size 8 -> 4", "accumulation 1 -> 2"]
    after = launched.ended(new["run"])
    assert (after["state"], after["steps_total"]) == ("completed", 60)
    assert log(new) == ["from 20 with 4 x 2"]
    assert json.loads((Path(new["folder"]) / "run.json").read_text())["resumes"] == run["run"]
    assert (Path(run["folder"]) / "output" / "step_60").exists()
    assert launched.status(run["run"])["state"] == "out_of_memory"


def test_a_completed_run_goes_on_only_to_train_further(launched: Any) -> None:
    run = launched.submit("--executor", "local", job(launched))
    launched.ended(run["run"])
    refused = launched("resume", run["run"])
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"{run['run']} is completed: to train it further give more --epochs" in refused.stderr
    new = resumed(launched, run["run"], "--epochs", 2)
    assert launched.ended(new["run"])["steps_done"] == 120
    assert log(new) == ["from 60 with 8 x 1"]


@pytest.mark.slow
def test_a_changed_command_goes_on_in_a_new_run(launched: Any) -> None:
    run = ended(launched)
    words = ["python", "train.py", "--steps", "40", "--batch-size", "1", "--output", "{output}"]
    new = resumed(launched, run["run"], "--", *words)
    assert new["changes"] == ["another command"]
    launched.ended(new["run"])
    assert log(new) == ["from 20 with 1 x 0"]


@pytest.mark.slow
def test_a_new_run_can_be_resumed_too(launched: Any) -> None:
    run = ended(launched)
    launched.file("end", "3")
    new = resumed(launched, run["run"], "--batch-size", 4, "--accumulation", 2)
    assert launched.ended(new["run"])["state"] == "failed"
    (launched.folder / "end").unlink()
    assert resumed(launched, new["run"])["step"] == 40
    assert launched.ended(new["run"])["state"] == "completed"
    assert log(new) == ["from 20 with 4 x 2", "from 40 with 4 x 2"]


def test_an_open_run_is_not_resumed(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "60")
    launched.wait(run["run"], "running")
    done = launched("resume", run["run"])
    assert done.returncode == 2
    assert (
        f"{run['run']} is running: wait for its end, or `clusterplan cancel {run['run']}` first"
        in done.stderr
    )
    launched("cancel", run["run"])
    launched.ended(run["run"])


def test_a_run_without_a_checkpoint_starts_again_only_if_that_is_said(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sh", "-c", "test -e again")
    launched.ended(run["run"])
    refused = launched("resume", run["run"])
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "has no checkpoint to go on from" in refused.stderr
    assert "--from-start" in refused.stderr
    assert launched.status(run["run"])["state"] == "failed"
    launched.file("again", "")
    assert "starts at step 0: the same run" in in_one_row(
        launched("resume", run["run"], "--from-start").stdout
    )
    assert launched.ended(run["run"])["state"] == "completed"


def ended_in_a_shell(launched: Any) -> Any:
    words = ["sh", "-c", 'mkdir -p "$0"/step_5; echo w > "$0"/step_5/weights.bin; exit 3', "{output}"]
    run = launched.submit("--executor", "local", "--", *words)
    launched.ended(run["run"])
    return run


def test_a_command_without_resume_words_is_pointed_to_its_checkpoint(launched: Any) -> None:
    run = ended_in_a_shell(launched)
    done = launched("resume", run["run"])
    assert f"the command has to load {run['folder']}/output/step_5 by itself" in done.stderr
    launched.ended(run["run"])


def test_a_flag_that_does_not_reach_the_command_is_refused(launched: Any) -> None:
    run = ended_in_a_shell(launched)
    done = launched("resume", run["run"], "--batch-size", "4")
    assert done.returncode == 2
    assert f"give the changed command too, `clusterplan resume {run['run']} ... -- COMMAND`" in done.stderr


def test_of_two_that_resume_a_run_at_once_one_does(launched: Any) -> None:
    run = ended(launched, steps=200)
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: launched("resume", run["run"]), range(3)))
    assert sorted(one.returncode for one in done) == [0, 2, 2], [one.stderr for one in done]
    launched.ended(run["run"])
    assert log(run) == ["from 0 with 8 x 1", "from 20 with 8 x 1"]


@pytest.mark.slow
def test_a_resume_that_died_on_its_way_leaves_the_run_ended(launched: Any) -> None:
    run = ended(launched)
    dies = (
        "import os, pathlib, sys\n"
        "from clusterplan.launcher.run_folder.locks.resumptions import begin_resumption\n"
        "begin_resumption(pathlib.Path(sys.argv[1]), 1, None, None)\nos._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", dies, run["folder"]], check=False)
    assert launched.status(run["run"])["state"] == "failed"
    resumed(launched, run["run"])
    assert launched.ended(run["run"])["state"] == "completed"


def test_a_resume_that_is_under_way_is_waited_for(launched: Any) -> None:
    run = ended(launched)
    folder = Path(run["folder"])
    begin_resumption(folder, next_resumption(folder), None, None)
    done = launched("resume", run["run"])
    assert done.returncode == 2
    assert f"{run['run']} is being resumed by process" in done.stderr


@pytest.mark.slow
def test_restarts_count_anew(launched: Any) -> None:
    run = ended(launched, more="")  # max_restarts = 0
    launched.file("end", "3")
    assert [resumed(launched, run["run"])["step"], launched.ended(run["run"])["attempts"]] == [20, 2]
    assert [resumed(launched, run["run"])["step"], launched.ended(run["run"])["attempts"]] == [40, 3]


@pytest.mark.slow
def test_another_commit_is_said(launched: Any) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", launched.folder]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    run = ended(launched)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "two"], check=True)
    assert "the code is at commit" in launched("resume", run["run"]).stderr
    launched.ended(run["run"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing"], "there are no runs yet"),
        ([""], "RUN is empty"),
        ([], "Missing argument 'RUN'"),
        (["x", "python", "-c", "1"], "put -- before the command: clusterplan resume x -- python -c 1"),
    ],
)
def test_bad_input_is_one_line(launched: Any, args: list[str], said: str) -> None:
    done = launched("resume", *args)
    assert done.returncode == 2
    assert said in done.stderr


def into(launched: Any, folder: str = "shared") -> Any:
    text = job(launched, steps=20_000).read_text()
    return launched.file("job.toml", f'{text}[checkpoint]\nfolder = "{folder}"\n')


def test_two_runs_do_not_write_into_one_folder_of_checkpoints_at_once(launched: Any) -> None:
    """Two people, one job file: the second resumed from the first's checkpoints, and both went on writing there."""
    file = into(launched)
    run = launched.submit("--executor", "local", file)
    for history in (launched.environment["CLUSTERPLAN_HISTORY"], str(launched.folder / "other.db")):
        refused = launched("submit", "--executor", "local", file, env={"CLUSTERPLAN_HISTORY": history})
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert f"run {run['run']} of" in refused.stderr
        assert "--force submits all the same" in refused.stderr
    launched("cancel", run["run"])
    launched.ended(run["run"])
    again = launched.submit("--executor", "local", file)
    launched("cancel", again["run"])
    launched.ended(again["run"])


@pytest.mark.slow
def test_a_run_whose_checkpoints_another_continues_is_not_resumed_beside_it(launched: Any) -> None:
    run = ended(launched, steps=20_000)
    new = resumed(launched, run["run"], "--batch-size", 4)
    refused = launched("resume", run["run"])
    assert refused.returncode == 2
    assert f"run {new['run']} of" in refused.stderr
    launched("cancel", new["run"])
    launched.ended(new["run"])


def test_two_commands_that_state_one_output_dir_are_seen(launched: Any) -> None:
    words = [
        "--executor",
        "local",
        "--",
        "python",
        "-c",
        "import time; time.sleep(60)",
        "--output_dir",
        "out",
    ]
    run = launched.submit(*words)
    refused = launched("submit", *words)
    assert refused.returncode == 2
    assert f"{launched.folder}/out: run {run['run']} of" in refused.stderr
    launched("cancel", run["run"])
    launched.ended(run["run"])


def test_resume_words_are_given_to_a_run_that_had_none(launched: Any) -> None:
    run = ended_in_a_shell(launched)
    assert resumed(launched, run["run"], "--resume-args", "{latest}")["run"] == run["run"]
    launched.ended(run["run"])
    launch = json.loads((Path(run["folder"]) / "launch.json").read_text())
    assert (launch["resume"], launch["command"][-1]) == (["{latest}"], f"{run['folder']}/output")


@pytest.mark.slow
def test_a_number_that_stands_in_the_command_itself_is_changed_there(launched: Any) -> None:
    launched.file("train.py", TRAINS)
    words = ["python", "train.py", "--steps", "400", "--batch-size", "8", "--accumulation=1"]
    words += ["--output", "{output}"]
    run = launched.submit("--executor", "local", "--resume-args", "--resume {latest}", "--", *words)
    until((Path(run["folder"]) / "output" / "step_10").exists, "a checkpoint", ENDED_S)
    launched("cancel", run["run"])
    launched.ended(run["run"])
    new = resumed(launched, run["run"], "--batch-size", 4, "--accumulation", 2)
    launched.ended(new["run"])
    assert log(new) == [f"from {new['step']} with 4 x 2"]


def test_a_dry_run_says_what_would_go_on_and_changes_nothing(launched: Any) -> None:
    run = ended(launched)
    before = sorted(path.name for path in Path(run["folder"]).iterdir())
    shown = launched("resume", run["run"], "--dry-run")
    assert f"{run['run']} goes on at step 20, from" in in_one_row(shown.stdout)
    assert "task 0: python train.py --steps 60" in shown.stdout
    new = launched("resume", run["run"], "--batch-size", 4, "--dry-run")
    assert "because the training changes (batch_size 8 -> 4)" in in_one_row(new.stdout)
    assert (shown.returncode, new.returncode) == (0, 0)
    assert sorted(path.name for path in Path(run["folder"]).iterdir()) == before
    assert launched.status(run["run"])["state"] == "failed"


@pytest.mark.slow
def test_a_run_that_another_goes_on_from_names_that_one(launched: Any) -> None:
    run = ended(launched)
    assert "go on       clusterplan resume" in launched("status", run["run"]).stdout
    new = resumed(launched, run["run"], "--batch-size", 4, "--accumulation", 2)
    launched.ended(new["run"])
    old = launched.status(run["run"])
    assert (old["continued_by"], old["remedy"]) == (new["run"], None)
    assert f"goes on as {new['run']}" in launched("logs", run["run"]).stderr
    assert launched.status(new["run"])["continued_by"] is None


@pytest.mark.slow
def test_a_new_run_keeps_the_values_of_its_sweep(launched: Any) -> None:
    file = job(launched)
    file.write_text(file.read_text().replace('"--output"', '"--seed", "{seed}", "--output"'))
    launched.file("train.py", TRAINS.replace('"--steps", ', '"--steps", "--seed", '))
    launched.file("end", "3")
    runs = launched.submit("--executor", "local", file, "--sweep", "seed=7,8")["runs"]
    for run in runs:
        launched.ended(run["run"])
    (launched.folder / "end").unlink()
    new = resumed(launched, runs[1]["run"], "--batch-size", 4)
    assert launched.ended(new["run"])["sweep"] == {"seed": "8"}
    words = ["python", "train.py", "--steps", "40", "--output", "{output}"]
    other = resumed(launched, runs[0]["run"], "--", *words)
    assert launched.ended(other["run"])["sweep"] is None


def test_other_gpus_keep_the_run_and_change_its_shape(launched: Any) -> None:
    run = ended(launched)
    # One process, because torchrun is not here; forced, because there are no GPUs.
    again = launched("resume", "--json", run["run"], "--gpus", 2, "--bootstrap", "single", "--force")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["run"] == run["run"]
    after = launched.ended(run["run"])
    assert (after["state"], after["steps_done"]) == ("completed", 30)  # twice the samples per step
    facts = json.loads((Path(run["folder"]) / "run.json").read_text())
    assert (facts["shape"]["gpus"], "shape_since_s" in facts) == (2, True)


@pytest.mark.parametrize("command", ['python write.py "$0" | cat', 'setsid python write.py "$0"; true'])
def test_what_a_killed_start_left_behind_ends_before_the_next_begins(launched: Any, command: str) -> None:
    """No guard is left to end it, and no cgroup: a preemption without grace on a site with proctrack/pgid."""
    launched.file(
        "write.py",
        """
import os, sys, time
while not os.path.exists("enough"):
    with open(sys.argv[1] + "/ledger", "a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.01)
""",
    )
    run = launched.submit("--executor", "local", "--", "bash", "-c", command, "{output}")
    ledger = Path(run["folder"]) / "output" / "ledger"
    until(ledger.exists, "the training")
    record = json.loads(next((Path(run["folder"]) / "tasks").glob("*.json")).read_text())
    os.kill(record["pid"], signal.SIGKILL)
    launched.ended(run["run"])
    first = len(ledger.read_text().split())
    until(lambda: len(ledger.read_text().split()) > first, "what lives on")
    resumed(launched, run["run"], "--from-start")
    until(lambda: len(set(ledger.read_text().split())) == 2, "the next start")
    launched.file("enough", "")
    assert launched.ended(run["run"])["state"] == "completed"
    writers = ledger.read_text().split()
    assert writers == sorted(writers, key=writers.index)  # the second began after the last line of the first


def test_a_run_that_a_run_submitted_is_not_of_it(launched: Any) -> None:
    """The next start of the outer run would end its guard, as left behind by a killed start."""
    launched.file("wait.py", "import os, time\nwhile not os.path.exists('enough'):\n    time.sleep(0.05)\n")
    submit = f"{sys.executable} -m clusterplan submit --executor local --name inner -- python wait.py"
    outer = launched.submit("--executor", "local", "--", "bash", "-c", f"{submit} && python wait.py")
    until(lambda: any(Path(outer["folder"]).parent.glob("inner-*/tasks/*.json")), "the inner run")
    (inner,) = Path(outer["folder"]).parent.glob("inner-*/tasks/*.json")
    environ = Path(f"/proc/{json.loads(inner.read_text())['pid']}/environ").read_bytes()
    assert b"CLUSTERPLAN_RUN_FOLDER=" not in environ
    launched.file("enough", "")
    launched.ended(outer["run"])


@pytest.mark.slow
def test_a_lost_run_goes_on(launched: Any) -> None:
    """Its process is gone, and no file says how it ended: as after the loss of the machine that it ran on."""
    run = ended(launched)
    folder = Path(run["folder"])
    (folder / "status.json").unlink()
    for path in (folder / "tasks").iterdir():
        path.unlink()
    entry = json.loads((folder / "jobs.jsonl").read_text())
    (folder / "jobs.jsonl").write_text(json.dumps(entry | {"submitted_s": 0.0}) + "\n")
    assert launched.status(run["run"])["state"] == "lost"
    assert resumed(launched, run["run"])["step"] == 20
    assert launched.ended(run["run"])["state"] == "completed"
