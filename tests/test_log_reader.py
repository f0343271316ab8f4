"""The process beside a command that reads its log: what it writes, and that it never reaches the training."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clusterplan.estimator.job.framework import Bootstrap
from clusterplan.launcher.node.log_reader.follow import follow_logs
from clusterplan.launcher.node.log_reader.followed_log import CommandStart, FollowedLog
from clusterplan.launcher.run_folder.launch import Launch
from clusterplan.launcher.run_folder.progress.loop_lines import read_progress

# megatron/training/training.py, training_log: the time of an iteration is a mean over the interval
MEGATRON = (
    " [2026-08-22 10:00:{0:02}.250000] iteration       {0}/     50 | consumed samples:          160 |"
    " elapsed time per iteration (ms): 500.0 | learning rate: 1.0E-05 | global batch size:    16 |"
    " lm loss: 1.07E+01 | loss scale: 1.0 | grad norm: 2.0 |\n"
)
START = CommandStart(0, 1_787_000_000.0, 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with what the reader needs."""
    launch = Launch(
        command=("true",),
        resume=(),
        cwd=str(tmp_path),
        environment={},
        bootstrap=Bootstrap.SINGLE,
        nodes=1,
        gpus=1,
        output=None,
        stop_signal="SIGTERM",
        grace_s=5.0,
        max_restarts=1,
    )
    launch.write(tmp_path)
    (tmp_path / "logs").mkdir()
    return tmp_path


def followed(
    folder: Path, text: str, wait_for_stop: Callable[[float], bool] = lambda _: True, **log: Any
) -> list[Any]:
    """The lines of progress after the reader has read a log."""
    path = folder / "logs" / "0.log"
    path.write_text(text, encoding="utf-8")
    logs = [FollowedLog(str(path), **{"offset": 0, **log})]
    follow_logs(folder, logs, START, wait_for_stop, {"CLUSTERPLAN_ATTEMPT": "7.0"})
    assert path.read_bytes().decode().startswith(text)
    progress = folder / "progress.jsonl"
    return [json.loads(line) for line in progress.read_text().splitlines()] if progress.exists() else []


def test_the_lines_of_a_log_become_those_of_a_loop(folder: Path) -> None:
    start, *lines = followed(folder, "".join(MEGATRON.format(n) for n in (10, 20, 30)))
    assert [start[key] for key in ("kind", "step", "total", "attempt")] == ["start", 0, 50, "7.0"]
    assert {line["source"] for line in lines} == {"log:megatron"}
    assert [(line["step"], line["seconds"]) for line in lines[1:]] == [(20, 5.0), (30, 5.0)]
    assert lines[-1]["loss"] == 10.7


def test_what_an_earlier_start_printed_is_not_read_again(folder: Path) -> None:
    before = MEGATRON.format(10)
    lines = followed(folder, before + MEGATRON.format(20) + MEGATRON.format(30), offset=len(before))
    assert [line["step"] for line in lines if line["kind"] == "steps"] == [20, 30]


def test_lines_that_come_later_are_read_until_the_command_has_ended(folder: Path) -> None:
    log = folder / "logs" / "0.log"
    more = [MEGATRON.format(20)[:40], MEGATRON.format(20)[40:], MEGATRON.format(30)]

    def wait(_: float) -> bool:
        if more:
            with log.open("a", encoding="utf-8") as file:
                file.write(more.pop(0))
        return not more

    lines = followed(folder, MEGATRON.format(10), wait)
    assert [line["step"] for line in lines if line["kind"] == "steps"] == [10, 20, 30]


def test_the_log_of_the_last_rank_tells_megatrons_steps_alone(folder: Path) -> None:
    text = "iter 5: loss 3.1, time 145.20ms, mfu 35.10%\n" + MEGATRON.format(10) + MEGATRON.format(20)
    lines = followed(folder, text, last_rank=True)
    assert {line["source"] for line in lines} == {"log:megatron"}


def test_a_run_without_steps_in_its_log_has_no_lines(folder: Path) -> None:
    assert followed(folder, "loading\nready\n") == []


def test_track_counts_where_the_log_tells_steps_too(folder: Path) -> None:
    followed(folder, MEGATRON.format(10) + MEGATRON.format(20))
    track = [
        {"kind": "start", "time_s": 1, "step": 0, "total": 90, "attempt": "7.0"},
        {"kind": "steps", "time_s": 2, "step": 4, "steps": 4, "seconds": 1, "longest_s": 1},
    ]
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in track)
    assert [line.step for line in read_progress(folder)[0]] == [0, 4]


def test_the_files_of_a_framework_tell_steps_where_the_log_does_not(folder: Path) -> None:
    """lightning/fabric/loggers/csv_logs.py; steps count from 0.  A file from before this start is another run's."""
    launch = Launch.read(folder)
    (folder / "launch.json").unlink()
    replace(launch, output=str(folder / "output")).write(folder)
    csv, old = (
        folder / "output" / "lightning_logs" / name / "metrics.csv" for name in ("version_1", "version_0")
    )
    for path in (csv, old):
        path.parent.mkdir(parents=True)
        path.write_text("epoch,step,train_loss\n0,9,2.5\n0,19,2.4\n0,2")
    os.utime(old, (START.time_s - 60, START.time_s - 60))
    os.utime(csv, (START.time_s + 60, START.time_s + 60))
    start, *lines = followed(folder, "loading\n")
    assert {line["source"] for line in (start, *lines)} == {"file:lightning-csv"}
    assert [(line["kind"], line["step"]) for line in (start, *lines)] == [("start", 0), ("steps", 20)]


def test_steps_that_come_all_at_once_are_done_though_they_have_no_time(folder: Path) -> None:
    bars = "".join(f"\r {n}%|###   | {n}/40 [00:01<00:01, 19.9it/s]" for n in (1, 20, 40))
    assert followed(folder, bars)[-1]["step"] == 40


# As the Trainer prints: a bar on stderr, a dict per log and one per evaluation (transformers/trainer_callback.py).
TRAINER = r"""
import os, signal, sys, time
from pathlib import Path

def read(name, pid):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

def end_reader():
    "Kill the process that reads this log: a sibling of this one."
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        is_sibling = f"PPid:\t{os.getppid()}\n".encode() in read("status", pid)
        if is_sibling and b"log_reader" in read("cmdline", pid):
            os.kill(int(pid), signal.SIGKILL)
            print("killed the reader", flush=True)

for n in range(1, 41):
    time.sleep(0.05)
    sys.stderr.write(f"\r {n * 100 // 40:2}%|###   | {n}/40 [00:0{n // 20}<00:01, 19.9it/s]")
    if n % 10 == 0:
        sys.stderr.write("\n")
        print({"loss": "2.5", "grad_norm": "1.2", "learning_rate": "1e-05", "epoch": f"{n / 40}"}, flush=True)
    if n == 20 and "--kill" in sys.argv:
        end_reader()
"""


def trainer_job(launched: Any, *arguments: str) -> Any:
    script = launched.file("train.py", TRAINER)
    words = json.dumps(["python", str(script), *arguments])
    text = (
        'name = "trainer"\nmodel = "tiny"\n[data]\nsamples = 160\n[training]\nbatch_size = 4\ngpus = 1\n'
        f"[run]\ncommand = {words}\n"
    )
    return launched.submit("--executor", "local", launched.file("job.toml", text))


def test_a_run_that_calls_nothing_tells_its_steps_and_becomes_a_measurement(launched: Any) -> None:
    run = trainer_job(launched)
    status = launched.ended(run["run"])
    assert (status["state"], status["steps_done"], status["steps_total"]) == ("completed", 40, 40)
    assert (status["steps_source"], status["loss"]) == ("bar:tqdm", 2.5)
    log = (Path(run["folder"]) / "logs" / "0.log").read_bytes().decode()
    assert log.startswith("\r  2%|###   | 1/40 [00:00<00:01, 19.9it/s]\r  5%|###   | 2/40 ")
    assert log.count("'learning_rate': '1e-05'") == 4
    said = launched("estimate", "--json", "job.toml")
    source = json.loads(said.stdout)["source"]
    assert (source["kind"], source["runs"]) == ("measured", 1)


def test_training_goes_on_when_its_reader_is_killed(launched: Any) -> None:
    run = trainer_job(launched, "--kill")
    assert launched.ended(run["run"])["state"] == "completed"
    assert "killed the reader" in launched("logs", run["run"]).stdout
