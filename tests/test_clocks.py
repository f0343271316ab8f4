"""Clocks that step, differ or stand at 1970: no reading is lost, and a length is right within 1 % or unknown.

Steps as NTP makes them: at most +-0.5 ms per second by slewing, else at once
(https://www.ntp.org/documentation/4.2.8-series/clock/).
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from clusterplan.estimator.gpu_use.reading import Event, GpuReading, Tick
from clusterplan.estimator.gpu_use.report import build_report
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.measurements.clock_steps import length_s
from clusterplan.launcher.clock import VARIABLE, handed_clock, own_clock
from clusterplan.launcher.in_training.tracker import Tracker, track
from clusterplan.launcher.run_folder.folder import create_run_folder
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.run_folder.progress.loop_lines import read_progress
from clusterplan.launcher.run_folder.task_file import TaskFile
from clusterplan.launcher.run_folder.task_records import TaskRecord, read_task_record
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.runs.record.attempts import sum_attempts
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.launcher.runs.status import read_statuses
from clusterplan.launcher.sampler.loop import StopFlag, sample_gpus
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode
from clusterplan.launcher.slurm.jobs import parse_job

if TYPE_CHECKING:
    from clusterplan.launcher.sampler.nvml_device import Device

GPU = {"uuid": "GPU-0", "index": "0", "name": "NVIDIA H100", "memory_bytes": 8 << 30, "power_limit_w": 700}
STEPS_S = {
    "1970": -1.79e9,
    "right again": 1.79e9,
    "+3 h": 10_800.0,
    "-3 h": -10_800.0,
    "+1 s": 1.0,
    "-1 s": -1.0,
    "back by a tick": -0.01,
}
TICKS, PERIOD_S = 60, 0.01


class Gpu:
    """A GPU that stops the loop after so many readings."""

    def __init__(self, stop: StopFlag) -> None:
        self._stop, self._left = stop, TICKS

    def read(self, place: int) -> GpuReading:
        self._left -= 1
        if self._left == 1:
            self._stop.set()
        return GpuReading(place, energy_mj=(TICKS - self._left) * 1000)


def run_of(tmp_path: Path) -> Path:
    return create_run_folder("net", tmp_path / "runs", datetime.now(UTC), {"kind": "sample"})


def write_spool(folder: Path, items: list[Tick | Event], name: str = "n1.0", **header: Any) -> None:
    values = {"run": folder.name, "node": "n1", "period_s": 1.0, "gpus": [GPU], **header}
    with SpoolWriter(folder / f"{name}.spool", values) as spool:
        for item in items:
            spool.append(encode(item))


def report_of(folder: Path, tmp_path: Path, ended_s: float | None = None) -> Any:
    with History(tmp_path / "history.db") as history:
        collect_run(folder, history)
        return build_report(history.record(folder.name), ended_s=ended_s)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Step the clock of this process, as an administrator does; gives the function that steps it."""
    steps = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + sum(steps))
    return steps.append


@pytest.mark.parametrize("step_s", STEPS_S.values(), ids=STEPS_S)
def test_a_step_of_the_clock_costs_no_reading(
    tmp_path: Path, wall: Callable[[float], None], step_s: float
) -> None:
    stop, items = StopFlag(), list[Tick | Event]()

    def sink(item: Tick | Event) -> None:
        items.append(item)
        if len(items) == TICKS // 2:
            wall(step_s)

    clock = own_clock()
    sample_gpus([cast("Device", Gpu(stop))], sink, stop, PERIOD_S, clock)
    took_s = clock.now_s() - items[0].time_s
    folder = run_of(tmp_path)
    write_spool(folder, items, steady=True, period_s=PERIOD_S)
    report = report_of(folder, tmp_path)
    assert report.gpus[0].ticks == TICKS
    assert report.gpus[0].metrics["energy_j"] == TICKS - 1
    assert report.gpu_hours * 3600 == pytest.approx(took_s, abs=2 * PERIOD_S)
    jumps = [item.text for item in items if isinstance(item, Event) and item.kind == "clock_step"]
    assert jumps == ([f"the clock jumped by {step_s:+.1f} s"] if abs(step_s) > 2 else [])


@pytest.mark.parametrize("length", [30, 1_500])
@pytest.mark.parametrize("step_s", STEPS_S.values(), ids=STEPS_S)
def test_steps_in_a_spool_of_an_earlier_version_are_taken_out(
    tmp_path: Path, step_s: float, length: int
) -> None:
    """Its ticks have the node's own time, and steps of more than 2 s are events before the tick."""
    items, began_s = list[Tick | Event](), 1_795_000_000.0 if step_s < 1e9 else 5.0
    for second in range(length):
        shift_s = step_s if second >= length // 3 else 0.0
        time_s = began_s + second + shift_s
        if second == length // 3 and abs(step_s) > 2:
            items.append(Event(time_s, "clock_step", f"the clock jumped by {step_s:+.1f} s"))
        items.append(Tick(time_s, (GpuReading(0, energy_mj=second * 1000),)))
    folder = run_of(tmp_path)
    write_spool(folder, items)
    report = report_of(folder, tmp_path)
    assert report.gpus[0].ticks == length
    assert report.gpus[0].metrics["energy_j"] == length - 1
    assert report.gpu_hours * 3600 == pytest.approx(length, rel=0.04 if length == 30 else 0.01)


def test_gpu_hours_up_to_an_end_by_another_clock_are_unknown(tmp_path: Path) -> None:
    """The sampler was killed on a node that stood at 1970; the run's end is by a clock that was right."""
    folder, ticks = run_of(tmp_path), [Tick(5.0 + n, (GpuReading(0),)) for n in range(20)]
    write_spool(folder, [Event(5.0, "clock_wrong", "the clock says 1970"), *ticks], steady=True)
    report = report_of(folder, tmp_path, ended_s=1.795e9)
    assert (report.gpu_hours, report.coverage) == (None, None)


def test_two_samplers_whose_times_are_the_same_lose_no_reading(tmp_path: Path) -> None:
    """The clock was set back between two attempts by as much as had passed."""
    folder = run_of(tmp_path)
    ticks: list[Tick | Event] = [Tick(1.8e9 + n, (GpuReading(0, energy_mj=n),)) for n in range(50)]
    write_spool(folder, ticks, steady=True)
    write_spool(folder, ticks, "n1.1", steady=True)
    assert report_of(folder, tmp_path).gpus[0].ticks == 100


@pytest.mark.parametrize("behind_s", [600.0, -600.0, 1.79e9])
def test_the_record_of_a_node_whose_clock_is_off_has_the_times_of_the_disk(
    tmp_path: Path, wall: Callable[[float], None], behind_s: float
) -> None:
    now_s = time.time()
    wall(-behind_s)
    record = TaskRecord("7", 0, 0, 1, "n1", "h", 1, "1", began_s=time.time() - 30, beat_s=time.time())
    file = TaskFile(tmp_path, record)
    assert file.record.began_s == pytest.approx(now_s - 30, abs=10)
    assert file.record.clock_s == pytest.approx(-behind_s, abs=2)
    wall(behind_s)  # NTP puts it right
    ended = file.update(state="ended", ended_s=file.now_s())
    assert ended.ended_s is not None
    assert ended.ended_s == pytest.approx(now_s, abs=10)
    written = read_task_record(tmp_path, ended.file_name)
    assert written
    assert (written.began_s, written.ended_s) == (ended.began_s, ended.ended_s)
    seconds = sum_attempts([ended])
    assert seconds
    assert seconds.trained_s == pytest.approx(30, abs=10)


def test_processes_of_a_machine_share_the_clock_of_its_task(wall: Callable[[float], None]) -> None:
    clock = own_clock()
    handed = {VARIABLE: clock.exported()}
    wall(-10_800.0)
    assert handed_clock(handed).now_s() == pytest.approx(clock.now_s(), abs=1)
    elsewhere = {VARIABLE: f"another-boot {clock.offset_s}"}
    assert handed_clock(elsewhere).now_s() == pytest.approx(time.time(), abs=1)
    assert handed_clock({}).now_s() == pytest.approx(time.time(), abs=1)


@pytest.mark.parametrize(
    ("began_s", "ended_s", "seconds"),
    [
        (1.79e9, 1.79e9 + 86_400, 86_400.0),
        (1.79e9, 1.79e9 - 0.5, 0.0),  # two machines that agree
        (1.79e9, 1.79e9 - 590, None),
        (60.0, 1.79e9, None),  # 4 million GPU-hours
        (1.79e9, 60.0, None),
        (60.0, 120.0, 60.0),  # both by the same wrong clock
        (None, 1.79e9, None),
    ],
)
def test_a_length_is_right_or_unknown(
    tmp_path: Path, began_s: float | None, ended_s: float, seconds: float | None
) -> None:
    assert length_s(began_s, ended_s) == seconds
    facts = {"run": "r", "kind": "submit", "folder": "/r", "began_s": began_s, "started_s": began_s}
    with History(tmp_path / "history.db") as history:
        history.put_run({**facts, "state": "completed", "ended_s": ended_s})
        assert history.run("r")["seconds"] == seconds


def test_a_wait_that_clocks_contradict_is_unknown(tmp_path: Path) -> None:
    with History(tmp_path / "history.db") as history:
        history.put_run(
            {"run": "r", "folder": "/r", "state": "running", "began_s": 1.79e9, "started_s": 1.79e9 - 590}
        )
        assert history.run("r")["waited_s"] is None


def test_lines_of_a_loop_keep_time_while_the_clock_is_set(
    tmp_path: Path, wall: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERPLAN_RUN_FOLDER", str(tmp_path))
    monkeypatch.setenv("RANK", "0")
    now_s = time.time()
    steps: Tracker[int] = track(total=3)
    for step in range(3):
        wall(-3_600.0 * (step == 1))
        steps.advance()
    steps.end()
    lines, _ = read_progress(tmp_path)
    times = [line.time_s for line in lines]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(now_s, abs=10)


@pytest.mark.parametrize(
    ("times", "left_s"),
    [
        ("RunTime=00:10:00 TimeLimit=01:00:00 StartTime=1790000000 EndTime=1790003600", 3000.0),
        # Suspended for 10 minutes, which the end has been moved by.
        ("RunTime=00:10:00 TimeLimit=01:00:00 StartTime=1790000000 EndTime=1790004200", 3000.0),
        # The grace of a preemption ends it earlier.
        ("RunTime=00:10:00 TimeLimit=01:00:00 StartTime=1790000000 EndTime=1790000630", 30.0),
        ("RunTime=00:10:00 TimeLimit=UNLIMITED StartTime=1790000000 EndTime=Unknown", None),
    ],
)
def test_the_time_that_a_job_has_left_needs_no_clock_but_slurms(times: str, left_s: float | None) -> None:
    """As `scontrol show job` of Slurm 22.05 spells them; the node's clock may be another."""
    job = parse_job(f"JobId=7 JobName=x\n   JobState=RUNNING Reason=None\n   {times}")
    assert job
    assert job.left_s == left_s


@pytest.fixture
def beating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a run on Slurm of another node, whose job Slurm has forgotten; gives the record of its task."""
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\n", encoding="ascii")
    squeue.chmod(0o755)
    for name in ("scontrol", "sacct"):
        (squeue.parent / name).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{squeue.parent}:/usr/bin:/bin")

    def make(node_behind_s: float, silent_s: float) -> Path:
        facts = {"kind": "submit", "executor": "slurm", "began_s": time.time() - 700}
        folder = create_run_folder("net", tmp_path / "runs", datetime.now(UTC), facts)
        append_job(folder, "slurm", "7")
        beat_s = time.time() - silent_s - node_behind_s
        record = TaskRecord("7", 0, 0, 1, "n1", "elsewhere", 1, "1", began_s=beat_s - 30, beat_s=beat_s)
        (folder / "tasks").mkdir()
        path = folder / "tasks" / record.file_name
        path.write_text(json.dumps(asdict(record)), encoding="utf-8")  # as an earlier version writes it
        os.utime(path, (time.time() - silent_s,) * 2)
        return folder

    return make


@pytest.mark.parametrize("behind_s", [0.0, 600.0, -600.0, 1.79e9])
def test_signs_of_life_are_dated_by_the_disk(beating: Callable[..., Path], behind_s: float) -> None:
    """The clock of the node is off, and an earlier version wrote its own time."""
    alive, silent = beating(behind_s, silent_s=20), beating(behind_s, silent_s=400)
    (first, second), _ = read_statuses([alive, silent])
    assert (first.state.state, first.state.stale) == (State.RUNNING, False)
    assert second.state.state is State.LOST
    assert "last heartbeat 2" in first.state.reason
    if behind_s < 0:
        assert first.elapsed_s is None
        (text,) = first.doubts
        assert text.startswith(f"{alive.name}: it began 20")
        assert text.endswith("which clocks contradict: for how long is not known")


def test_a_clock_that_is_off_is_said(tmp_path: Path) -> None:
    status = RunStatus(
        "net", tmp_path, RunState(State.RUNNING, "", 0.0), "7", 0, None, clocks_ahead_s={"gpu3": -600.0}
    )
    assert status.doubts == (
        "gpu3: its clock is 10m behind the one that all times are by, that of the run's folder",
    )
