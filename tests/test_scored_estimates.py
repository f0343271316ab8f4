"""Estimates are scored by the runs that were submitted with them: pure, and from run folders by `history accuracy`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command

from clusterplan import History, Workload, collect
from clusterplan.estimator.accuracy.accuracy import Score, StartWait, score_estimates
from clusterplan.estimator.accuracy.scored_run import ScoredRun, Walltime, score_run
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.estimator.estimate.shapes import Verdicts
from clusterplan.estimator.gpu_use.forecast import Forecast
from clusterplan.estimator.ranges import Range
from clusterplan.launcher.run_folder.folder import write_json
from clusterplan.launcher.run_folder.records.booking import Booking
from clusterplan.launcher.run_folder.records.checked import check_record
from clusterplan.launcher.run_folder.records.estimate import EstimateFile
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.runs.record.attempts import AttemptSum, sum_attempts
from clusterplan.launcher.runs.record.estimate import estimate_row
from clusterplan.render.estimate.as_dict import estimate_as_dict

sys.path.insert(0, str(ROOT / "benchmarks"))
from simulated_runs import Course, write_ended, write_submitted

T0 = 1_763_900_000.0
ESTIMATED = Range(0.9, 1.0, 1.1)


def scored(number: int, actual: float, kind: str = "measured") -> ScoredRun:
    forecast = Forecast("step time", ESTIMATED, actual)
    return ScoredRun(f"r{number}", "m", T0 + number, kind, forecast, None, None)


def row(**values: Any) -> dict[str, Any]:
    quantiles = {
        f"{what}_{p}_s": v
        for what in ("step_time", "wall_clock")
        for p, v in zip(("p10", "p50", "p90"), (9, 10, 11), strict=True)
    }
    facts = {
        "run": "r",
        "model": "m",
        "ended_s": T0,
        "state": "completed",
        "trained_s": 10.5,
        "limits_met": 0,
        "steps_planned": 100,
        "steps_done": 100,
    }
    asked = {
        "source": "",
        "source_kind": "measured",
        "walltime_s": 15.0,
        "walltime_asked_s": 15.0,
        "segments": 1,
    }
    return {**quantiles, **facts, **asked, "step_time_s": 10.2, **values}


def test_the_error_is_the_median_distance_from_p50_and_the_bias_its_direction() -> None:
    everything = score_estimates(scored(i, actual) for i, actual in enumerate((0.95, 1.02, 1.3))).everything
    assert everything.step_time.error == pytest.approx(0.05)
    assert everything.step_time.bias == pytest.approx(0.02)
    assert everything.step_time.in_range == 2
    assert not everything.step_time.is_enough


def test_each_kind_of_source_has_a_score_of_its_own_the_one_with_most_runs_first() -> None:
    runs = [scored(0, 1.2, "prior"), scored(1, 1.0), scored(2, 1.0)]
    assert [(g.name, g.step_time.runs) for g in score_estimates(runs).by_source] == [
        ("measured", 2),
        ("prior", 1),
    ]


@pytest.mark.parametrize(("runs", "parts"), [(9, []), (10, [5, 5]), (40, [10, 10, 10, 10])])
def test_no_part_in_time_has_fewer_runs_than_say_something(runs: int, parts: list[int]) -> None:
    accuracy = score_estimates(scored(i, 1.0) for i in range(runs))
    assert [group.step_time.runs for group in accuracy.over_time] == parts


@pytest.mark.parametrize(("in_range", "fault"), [(4, None), (20, "narrow"), (32, None), (40, "wide")])
def test_a_range_is_at_fault_where_chance_hardly_explains_it(in_range: int, fault: str | None) -> None:
    assert Score(5 if in_range == 4 else 40, in_range=in_range).range_fault == fault


@pytest.mark.parametrize(
    "values",
    [
        {"state": "failed"},
        {"state": "cancelled"},
        {"state": "timed_out"},
        {"steps_done": 60},
        {"trained_s": None},
    ],
)
def test_a_run_that_did_not_run_to_its_end_counts_for_the_step_time_alone(values: dict[str, Any]) -> None:
    run = score_run(row(**values))
    assert run.wall_clock is None
    assert run.step_time.actual == 10.2


@pytest.mark.parametrize(
    ("values", "walltime"),
    [
        ({}, Walltime(15.0, 10.5, enough=True, as_estimated=True)),
        ({"segments": 3, "limits_met": 2}, Walltime(45.0, 10.5, enough=True, as_estimated=True)),
        ({"limits_met": 1}, Walltime(15.0, 10.5, enough=False, as_estimated=True)),
        ({"state": "timed_out"}, Walltime(15.0, None, enough=False, as_estimated=True)),
        ({"walltime_asked_s": 60.0}, Walltime(60.0, 10.5, enough=True, as_estimated=False)),
        ({"state": "failed"}, None),
        ({"walltime_asked_s": None}, None),
    ],
)
def test_a_walltime_was_enough_if_no_job_too_many_met_its_limit(
    values: dict[str, Any], walltime: Walltime | None
) -> None:
    assert score_run(row(**values)).walltime == walltime


def test_starts_are_scored_beside_their_forecasts() -> None:
    waits = [
        StartWait(600, Range(300, 600, 900), 660),
        StartWait(0, None, 30),
        StartWait(60, Range(0, 60, 80), 400),
    ]
    start = score_estimates([], waits).start
    assert (start.runs, start.error_s, start.with_range, start.in_range) == (3, 60, 2, 1)


def task(restart: int, began_s: float, ended_s: float | None, **values: Any) -> TaskRecord:
    facts = {
        "job": "7",
        "restart": restart,
        "rank": 0,
        "ranks": 2,
        "node": "n1",
        "host": "n1",
        "pid": 1,
        "birth": "1",
    }
    return TaskRecord(**{**facts, "began_s": began_s, "beat_s": began_s + 50, "ended_s": ended_s, **values})


def test_a_run_trained_in_all_its_attempts_and_not_between_them() -> None:
    tasks = [
        task(0, 0, 100, stop_cause="time_limit"),
        task(0, 5, 103, rank=1),
        task(1, 500, None),  # killed: its last heartbeat counts
        task(2, 600, None, state="waiting"),
    ]
    assert sum_attempts(tasks) == AttemptSum(attempts=2, trained_s=153, limits_met=1)
    assert sum_attempts(tasks[-1:]) is None


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the folder of a run that has ended; each begins a day after the one before."""
    history = tmp_path / "h" / "history.db"
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    history.parent.mkdir()
    number = 0

    def submitted(step_s: float = 0.5, facts: dict[str, Any] | None = None, **course: Any) -> Path:
        nonlocal number
        number += 1
        job = Workload.of(model="phi2", samples=64_000, batch_size=8, gpus=8, gpu="h100-sxm", step_time=0.5)
        folder = write_submitted(
            "train", tmp_path / "runs", history, estimate_workload(job), T0 + number * 86400, facts
        )
        write_ended(folder, Course(**{"steps": 1000, "step_s": step_s} | course), T0 + number * 86400)
        return folder

    return submitted


def test_estimates_of_ended_runs_are_scored_from_their_folders(
    submit: Callable[..., Path], in_process: Command
) -> None:
    for step_s in (0.5, 0.51, 0.52, 0.49, 0.5, 0.8):
        submit(step_s)
    document = json.loads(in_process("history", "accuracy", "--json").stdout)
    (given,) = document["by_source"]
    assert (given["source"], given["step_time"]["runs"], given["step_time"]["in_range"]) == ("given", 6, 5)
    assert given["step_time"]["error_share"] == pytest.approx(0.02, abs=0.001)
    assert given["wall_clock"]["runs"] == 6
    assert given["walltime"]["enough"] == 6
    assert given["walltime"]["asked_over_used"] > 1


def test_the_start_of_a_run_is_scored_by_its_forecast(
    submit: Callable[..., Path], in_process: Command
) -> None:
    folder = submit(queue_s=100.0)
    forecast = {"made_s": T0 + 86400 + 10, "basis": "limits", "wait_p10_s": 0, "wait_p50_s": 60, "wait_p90_s": 120,
                "by_limits_s": 300, "before": 0, "cluster": None, "partition": None, "reason": None}  # fmt: skip
    write_json(folder / "start_forecast.json", forecast)
    assert "off by 30s" in in_process("history", "accuracy").stdout
    assert json.loads(in_process("history", "accuracy", "--json").stdout)["start"] == {
        "runs": 1, "error_s": 30.0, "with_range": 1, "in_range": 1,
    }  # fmt: skip


def test_few_runs_are_said_to_be_too_few(submit: Callable[..., Path], in_process: Command) -> None:
    submit()
    text = in_process("history", "accuracy").stdout
    assert "too few to say" in text
    assert "1 of 1" in text


def test_without_a_run_that_ended_there_is_nothing_to_score(
    submit: Callable[..., Path], in_process: Command
) -> None:
    del submit
    assert "no run that was estimated has ended yet" in in_process("history", "accuracy").stdout
    assert json.loads(in_process("history", "accuracy", "--json").stdout)["all"] is None


def test_runs_of_other_models_are_left_out(submit: Callable[..., Path], in_process: Command) -> None:
    submit()
    assert json.loads(in_process("history", "accuracy", "--model", "llama", "--json").stdout)["all"] is None


@pytest.mark.usefixtures("in_process")
def test_a_run_that_goes_on_from_another_has_no_wall_clock_to_score(submit: Callable[..., Path]) -> None:
    submit(facts={"resumes": "train-1"})
    with History() as history:
        collect(history=history, settle=False)
        everything = history.accuracy().everything
    assert (everything.step_time.runs, everything.wall_clock.runs, everything.walltime.runs) == (1, 0, 0)


@pytest.mark.usefixtures("in_process")
def test_a_run_that_stopped_at_a_plateau_has_no_wall_clock_to_score(submit: Callable[..., Path]) -> None:
    submit(stops_after=600)
    with History() as history:
        collect(history=history, settle=False)
        everything = history.accuracy().everything
    assert (everything.step_time.runs, everything.wall_clock.runs) == (1, 0)
    assert everything.walltime.asked_over_used is None


@pytest.mark.usefixtures("in_process")
def test_an_estimate_that_rests_on_probes_alone_is_calibrated(submit: Callable[..., Path]) -> None:
    job = Workload.of(model="phi2", samples=64_000, batch_size=8, gpus=8, gpu="h100-sxm")

    def kind() -> str:
        with History() as history:
            collect(history=history, settle=False)
            document = estimate_as_dict(
                estimate_workload(job, None, history.measurements("phi2")), Verdicts(None, None)
            )
        row = estimate_row(check_record(EstimateFile, document), Booking(), {"began_s": T0})
        return str(row and row["source_kind"])

    submit(facts={"probe": True})
    assert kind() == "calibrated"
    submit()
    assert kind() == "measured"
