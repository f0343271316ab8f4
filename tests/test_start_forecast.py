"""The start that is forecast for a submitted run, and what becomes of it."""

import json
from pathlib import Path

import pytest

from clusterplan.errors import UnreadableFile
from clusterplan.estimator.history.runs import History
from clusterplan.estimator.queue.wait import Basis, WaitForecast
from clusterplan.estimator.ranges import Range
from clusterplan.launcher.forecast.at_submission import keep_forecasts
from clusterplan.launcher.forecast.kept import START_FORECAST_FILE, StartForecast, read_start_forecast
from clusterplan.launcher.run_folder.job_log import append_job
from clusterplan.launcher.runs.collect import collect_run

FORECAST = WaitForecast(7200.0, Range(600, 1800, 5400), 0.0, 3, Basis.USAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submitted run that began half an hour after its submission."""
    run = tmp_path / "net-20261128T120000-abcd"
    (run / "tasks").mkdir(parents=True)
    facts = {"run": run.name, "kind": "submit", "name": "net", "began_s": 1000.0, "host": "h", "user": "ann"}
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return run


def test_a_forecast_is_kept_and_read(folder: Path) -> None:
    start = StartForecast.of(1000.0, FORECAST, "west", "gpu")
    start.keep(folder)
    assert read_start_forecast(folder) == start
    assert (start.basis, start.wait_p50_s, start.by_limits_s, start.before) == ("usage", 1800, 7200, 3)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"basis": "usage"}', "null"])
def test_a_damaged_forecast_is_said(folder: Path, text: str) -> None:
    (folder / START_FORECAST_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableFile, match=START_FORECAST_FILE):
        read_start_forecast(folder)


def test_a_run_that_never_starts_by_limits_is_unknown_with_the_reason() -> None:
    start = StartForecast.of(1.0, WaitForecast(None, None, 0.0, 0, Basis.LIMITS), "west", "gpu")
    assert (start.basis, start.by_limits_s) == ("unknown", None)
    assert "never starts" in start.reason


def test_without_slurm_the_forecast_is_unknown_and_nothing_is_raised(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    append_job(folder, "slurm", "7", "west")
    keep_forecasts([folder])
    start = read_start_forecast(folder)
    assert start.basis == "unknown"
    assert "squeue is not on PATH" in start.reason
    keep_forecasts([folder])  # a run that is resumed keeps its first one
    assert read_start_forecast(folder) == start


def test_the_history_has_forecast_and_actual_waits(folder: Path, tmp_path: Path) -> None:
    StartForecast.of(1000.0, FORECAST, "west", "gpu").keep(folder)
    task = {"job": "7", "restart": 0, "rank": 0, "ranks": 1, "host": "n", "node": "n", "pid": 1, "birth": "1",
            "state": "running", "began_s": 3400.0, "beat_s": 3500.0}  # fmt: skip
    (folder / "tasks" / "7.0.0.json").write_text(json.dumps(task), encoding="utf-8")
    with History(tmp_path / "history.db") as history:
        collect_run(folder, history)
        ((forecast_s, actual_s),) = history.start_forecasts()
        assert (forecast_s, actual_s) == (1800, 2400)
        assert history.start_forecasts(basis="limits") == []
        assert len(history.start_forecasts(basis="usage", cluster="west")) == 1
