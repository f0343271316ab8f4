"""A run that gets no further: what `status` says, and the command that runs once."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import until

from clusterplan.estimator.eta.stall import LEAST_S
from clusterplan.estimator.eta.time_left import Start
from clusterplan.launcher.node.log_reader.stall_watch import LOOK_S, StallWatch

NOTE = (
    "import os, sys; print(os.environ['CLUSTERPLAN_RUN'], os.environ['CLUSTERPLAN_STALLED_S'], *sys.argv[1:])"
)


def write_steps(folder: Path, last_s: float) -> None:
    """Twenty lines of steps, the last one at this Unix time."""
    lines: list[dict[str, Any]] = [{"kind": "start", "time_s": last_s - 40, "step": 0, "total": 100}]
    lines += [
        {
            "kind": "steps",
            "time_s": last_s - 2 * (20 - n),
            "step": n,
            "steps": 1,
            "seconds": 2,
            "longest_s": 2,
        }
        for n in range(1, 21)
    ]
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_the_command_runs_once_for_each_stall(tmp_path: Path) -> None:
    write_steps(tmp_path, last_s=1_000)
    watch = StallWatch(tmp_path, [sys.executable, "-c", NOTE, "a word"], Start(900), {})
    log = tmp_path / "stall.log"
    watch.look(1_000 + LEAST_S - 1)
    assert not log.exists()
    stalled_s = LEAST_S + LOOK_S
    watch.look(1_000 + stalled_s)
    watch.look(1_000 + stalled_s + LOOK_S)
    first = f"{tmp_path.name} {stalled_s:.0f} a word\n"
    until(lambda: log.exists() and log.read_text() == first, "the command")
    write_steps(tmp_path, last_s=9_000)
    watch.look(9_000 + stalled_s)
    until(lambda: log.read_text() == 2 * first, "the command at the second stall")
    until(lambda: all(each.poll() is not None for each in watch.running), "the end of both")


def test_a_command_that_cannot_be_started_disturbs_nothing(tmp_path: Path) -> None:
    write_steps(tmp_path, last_s=1_000)
    StallWatch(tmp_path, ["/nothing/here"], Start(900), {}).look(1_000 + 2 * LEAST_S)


def test_status_says_that_a_run_is_stalled_and_fails(launched: Any) -> None:
    run = launched.submit("--executor", "local", "--", "sleep", "300")
    launched.wait(run["run"], "running")
    began_s = time.time()
    write_steps(Path(run["folder"]), last_s=began_s + 1)  # of this start
    assert launched("status", run["run"]).returncode == 0
    (Path(run["folder"]) / "progress.jsonl").unlink()
    tasks = next((Path(run["folder"]) / "tasks").glob("*.json"))
    tasks.write_text(json.dumps(json.loads(tasks.read_text()) | {"began_s": began_s - 5_000}))
    write_steps(Path(run["folder"]), last_s=began_s - 1_000)
    done = launched("status", run["run"])
    assert done.returncode == 1
    assert "stalled" in done.stdout
    assert "no step since" in done.stdout
    stall = json.loads(launched("status", "--json", run["run"]).stdout)["runs"][0]["stall"]
    assert stall["limit_s"] == LEAST_S
    launched("cancel", run["run"])


@pytest.mark.parametrize("word", ["1", '"a command"'])
def test_the_command_is_a_list_of_words(in_process: Any, tmp_path: Path, word: str) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f"[data]\nsamples = 8\n[training]\nbatch_size = 1\ngpus = 1\n[run]\ncommand = ['true']\nstall_command = {word}\n"
    )
    done = in_process("submit", "--executor", "local", "--dry-run", job)
    assert done.returncode == 2
    assert "run.stall_command" in done.stderr
