"""`clusterplan report`, on GPUs that do what a scenario says."""

import gc
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fake_nvml as fake
import pytest
from conftest import Command, StartScenario

from clusterplan.estimator.gpu_use import report as report_module
from clusterplan.estimator.gpu_use.coverage import find_early_end
from clusterplan.estimator.gpu_use.forecast import compare_forecasts
from clusterplan.estimator.gpu_use.metrics import Display, Gauge
from clusterplan.estimator.gpu_use.reading import DISPLAYS, Event, GpuReading, Tick
from clusterplan.estimator.gpu_use.report import build_report
from clusterplan.estimator.gpu_use.utilisation import TIMELINE_POINTS
from clusterplan.estimator.history.runs import History
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_json
from clusterplan.launcher.run_folder.task_records import TaskRecord
from clusterplan.launcher.runs.collect import collect_run
from clusterplan.launcher.sampler import nvml
from clusterplan.launcher.sampler.loop import read_devices
from clusterplan.launcher.sampler.spool import SpoolWriter
from clusterplan.launcher.sampler.spool_items import encode
from clusterplan.render.layout import Page
from clusterplan.render.runs import run_json, run_text

T0 = float(fake.T0)
NODE = """
gpu count=8
wave gpu=* kind=const hi=92
wave gpu=5 kind=const hi=92 until=60
wave gpu=5 kind=const hi=0 at=60
wave gpu=6 kind=square period=1 duty=0.5 hi=96 lo=0
fault gpu=3 at=5 code=15
reasons gpu=7 mask=0x40
proc gpu=* pid=77 mem_gib=40
"""
SECONDS = 150


@pytest.fixture
def recorded(gpus: StartScenario, tmp_path: Path) -> Any:
    """The node sampled second by second through the real pynvml, its clock moved by hand; gives the run's folder."""
    move = gpus(NODE)
    folder = create_run_folder(
        "train", tmp_path / "runs", datetime(2026, 1, 1, tzinfo=UTC), {"began_s": float(fake.T0)}
    )
    with nvml.open_library() as library:
        present = dict(enumerate(library.devices()[0]))
        header = {"run": "r", "node": "n1", "period_s": 1.0, "attribution": "enumerated"}
        with SpoolWriter(
            folder / "n1.0.spool", {**header, "gpus": [vars(d.identity) for d in present.values()]}
        ) as spool:
            for second in range(1, SECONDS + 1):
                move(second)
                now = float(fake.T0 + second)
                readings, lost = read_devices(present)
                for place in lost:
                    spool.append(
                        encode(Event(now, "gpu_lost", f"{present.pop(place).identity.uuid} is lost", place))
                    )
                spool.append(encode(Tick(now, tuple(readings))))
    write_json(
        folder / "status.json", {"state": "completed", "exit_code": 0, "ended_s": float(fake.T0 + SECONDS)}
    )
    return folder


@pytest.fixture
def reported(recorded: Any, clusterplan: Command, tmp_path: Path) -> Callable[..., Any]:
    """Run `clusterplan report ARGS` on that run."""
    path = tmp_path / "h" / "history.db"
    register_run(recorded, path)
    return lambda *arguments: clusterplan(
        "report", *arguments, env=os.environ | {"CLUSTERPLAN_HISTORY": str(path)}
    )


def test_the_report_names_the_four_troubles_and_nothing_else(reported: Callable[..., Any]) -> None:
    document = json.loads(reported("--json").stdout)
    place = {gpu["uuid"]: gpu["place"] for gpu in document["gpus"]}
    troubles = sorted((note["code"], *(place[uuid] for uuid in note["gpus"])) for note in document["notes"])
    assert troubles == [("gpu_lost", 3), ("idle", 5), ("stall", 6), ("throttled", 7)]


def test_json_has_the_contracts_keys(reported: Callable[..., Any], recorded: Any) -> None:
    document = json.loads(reported(recorded.name[:5], "--json").stdout)
    assert {"gpus", "notes", "coverage"} <= set(document)
    assert {"uuid", "node", "utilisation_mean", "energy_j", "memory_peak_bytes"} <= set(document["gpus"][0])
    assert all(set(note) == {"code", "text", "gpus"} for note in document["notes"])
    assert document["coverage"] == pytest.approx((7 * SECONDS + 5) / (8 * SECONDS), abs=0.001)  # one was lost
    assert document["gpu_hours"] == pytest.approx(8 * SECONDS / 3600, rel=0.01)


def test_the_text_shows_each_gpu_over_time(reported: Callable[..., Any]) -> None:
    lines = reported().stdout.splitlines()
    (idle,) = [line for line in lines if line.startswith("n1      5")]
    (busy,) = [line for line in lines if line.startswith("n1      0")]
    assert "▇" * TIMELINE_POINTS in busy
    assert idle.count("▇") in range(15, 18)
    assert any(line.startswith("utilisation") and "|" in line for line in lines)


def test_a_run_that_goes_on_is_reported_so_far(reported: Callable[..., Any], recorded: Any) -> None:
    (recorded / "status.json").unlink()
    assert "still running: so far" in reported().stdout


def test_energy_is_what_the_counters_say(reported: Callable[..., Any]) -> None:
    document = json.loads(reported("--json").stdout)["gpus"][0]
    assert document["energy_j"] == pytest.approx(document["power_mean_w"] * (SECONDS - 1), rel=0.01)


def test_without_raw_readings_the_notes_stay_and_the_timeline_comes_from_the_minutes(
    recorded: Any, tmp_path: Path
) -> None:
    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        before = build_report(history.record(recorded.name))
        history.prune(time.time())
        after = build_report(history.record(recorded.name))
    assert after.notes == before.notes
    assert (after.coverage, len(after.notes)) == (before.coverage, 4)
    assert any(after.gpus[0].timeline)


def test_of_an_ended_run_no_reading_is_read_again_if_there_are_many(recorded: Any, tmp_path: Path) -> None:
    """A week of 64 GPUs is 39 million readings, 20 minutes of work; the notes were made at its end."""

    def refuse(uuid: str, since_s: float | None) -> Any:
        raise AssertionError((uuid, since_s))

    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        record = history.record(recorded.name)
        gpus = [{**row, "ticks": 6 * 86_400} for row in record.gpus]
        ticks = sum(row["ticks"] for row in gpus)
        report = build_report(replace(record, gpus=gpus, raw_ticks=lambda: ticks, readings=refuse))
    assert [note.code for note in report.notes] == [note["code"] for note in record.notes]
    assert any(report.gpus[0].timeline)


def test_of_an_open_run_the_notes_are_on_its_latest_readings_if_there_are_many(
    recorded: Any, tmp_path: Path
) -> None:
    """A day of 8 GPUs at a reading per second: 40,000 readings are its last 83 minutes."""
    since = list[float | None]()

    def late(uuid: str, since_s: float | None) -> Any:  # noqa: ARG001  the signature of the history
        since.append(since_s)
        return ()

    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        record = history.record(recorded.name)
        day = {"ticks": 86_400, "first_s": T0, "last_s": T0 + 86_400}
        gpus = [{**row, **day, "ended_s": None} for row in record.gpus]
        now: dict[str, Any] = {
            "has_ended": False,
            "raw_ticks": lambda: 86_400 * len(gpus),
            "readings": late,
            "timelines": lambda *_: {},
        }
        report = build_report(replace(record, gpus=gpus, **now))
    assert report.notes_of_s == 40_000 / len(gpus)
    assert set(since) == {T0 + 86_400 - 40_000 / len(gpus)}
    assert run_text.notes_title(report) == "notes on the last 1h 23m"


def test_notes_of_late_are_those_of_late_alone(recorded: Any, tmp_path: Path) -> None:
    """GPU 5 idles to the end; GPU 3 was lost at the beginning, which stays true."""
    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        late = build_report(history.record(recorded.name), fake.T0 + SECONDS - 60)
        whole = build_report(history.record(recorded.name))
        readings = [
            len(list(history.readings(recorded.name, whole.gpus[0].uuid, since_s)))
            for since_s in (None, fake.T0 + SECONDS - 60)
        ]
    (idle,) = [note.text for note in late.notes if note.code == "idle"]
    assert "idle for 1m 1s of 1m 1s" in idle
    (lost,) = [note for note in whole.notes if note.code == "gpu_lost"]
    assert lost in late.notes
    assert late.mean("utilisation_mean") == whole.mean("utilisation_mean")
    assert readings == [SECONDS, 61]


RATES = """
name = "site"
[rates]
currency = "EUR"
date = "2026-01-01"
per_gpu_hour = 2.0
per_kwh = 0.25
gco2_per_kwh = 400
pue = 1.5
[[partitions]]
name = "gpu"
nodes = 1
gpus_per_node = 8
"""


def test_cost_and_co2_come_from_the_profiles_rates(reported: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(RATES, encoding="utf-8")
    document = json.loads(reported("--profile", path, "--json").stdout)
    kwh, cost = document["energy_kwh"], document["footprint"]
    assert cost["co2_kg"] == pytest.approx(kwh * 1.5 * 0.4)
    assert cost["energy_cost"] == pytest.approx(kwh * 1.5 * 0.25)
    assert cost["gpu_hours_cost"] == pytest.approx(document["gpu_hours"] * 2)
    text = reported("--profile", path).stdout
    assert "EUR, rates of 2026-01-01" in text
    assert "with the site's PUE of 1.5" in text


@pytest.mark.parametrize(("partition", "price"), [("gpu", 5), ("elsewhere", 2), (None, 2)])
def test_gpu_hours_cost_what_the_runs_partition_does(
    reported: Callable[..., Any], recorded: Any, tmp_path: Path, partition: str | None, price: int
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f"{RATES}per_gpu_hour = 5.0\n", encoding="utf-8")
    write_json(recorded / "request.json", {"partition": partition})
    document = json.loads(reported("--profile", path, "--json").stdout)
    assert document["footprint"]["per_gpu_hour"] == price
    assert document["footprint"]["gpu_hours_cost"] == pytest.approx(document["gpu_hours"] * price)
    assert f"EUR at {price} an hour, rates of 2026-01-01" in reported("--profile", path).stdout


def test_a_report_without_rates_has_no_cost(reported: Callable[..., Any]) -> None:
    assert json.loads(reported("--json").stdout)["footprint"] is None
    assert "CO2" not in reported().stdout
    done = reported("--profile", "one-machine")
    assert (done.returncode, "has no [rates]" in done.stderr) == (2, True)


def test_power_is_the_counters_and_not_that_of_single_readings(reported: Callable[..., Any]) -> None:
    stalled = json.loads(reported("--json").stdout)["gpus"][6]
    assert stalled["power_mean_w"] == pytest.approx(stalled["energy_j"] / (SECONDS - 1), rel=0.01)
    assert stalled["power_mean_w"] < 400


def test_a_killed_sampler_is_a_note(recorded: Any, tmp_path: Path) -> None:
    late = {"state": "completed", "exit_code": 0, "ended_s": float(fake.T0 + SECONDS + 3600)}
    write_json(recorded / "status.json", late)
    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        report = build_report(history.record(recorded.name))
        history.prune(time.time())
        assert coverage_notes(build_report(history.record(recorded.name))) == coverage_notes(report)
    assert coverage_notes(report) == [
        "the sampler on n1 stopped 1h before the run ended; its GPUs have no readings after that"
    ]
    assert report.coverage == pytest.approx(7 / 8 * SECONDS / (SECONDS + 3600), abs=0.001)
    assert report.gpu_hours == pytest.approx(8 * (SECONDS + 3600) / 3600, rel=0.001)


@pytest.fixture
def restarted(tmp_path: Path) -> Callable[..., Any]:
    """Import a run of two attempts of 300 s, an hour apart; gives its report.

    `until` is when the first one's sampler fell silent, without an end unless `ended`; `hole` is left out of it.
    It was in the queue for `queued_s`.
    """

    def imported(
        *,
        until: int = 300,
        ended: bool = True,
        hole: Any = range(0),
        queued_s: float = 0.0,
        state: str = "completed",
    ) -> Any:
        facts = {"kind": "submit", "began_s": T0 - queued_s}
        folder = create_run_folder("train", tmp_path / "runs", datetime(2026, 1, 1, tzinfo=UTC), facts)
        wall_clock = {"p10": 500, "p50": 590, "p90": 700, "p95": 800}
        write_json(folder / "estimate.json", {"source": {"kind": "given"}, "wall_clock_s": wall_clock})
        (folder / "tasks").mkdir()
        for number, begin in enumerate((0, 3900)):
            task = TaskRecord("7", number, 0, 1, "n1", "n1", 1, "1", T0 + begin, T0 + begin + 300)
            write_json(folder / "tasks" / task.file_name, vars(task))
            header = {
                "run": "r",
                "node": "n1",
                "period_s": 1.0,
                "time_s": T0 + begin,
                "gpus": [{"uuid": "GPU-0"}],
            }
            with SpoolWriter(folder / f"n1.{number}.spool", header) as spool:
                for second in range(begin + 2, begin + (300 if number else until)):
                    if second not in hole:
                        readings = (GpuReading(0, utilisation_percent=90, processes=1),)
                        spool.append(encode(Tick(T0 + second, readings)))
                if number or ended:
                    spool.append(encode(Event(T0 + begin + 300, "end", "as asked")))
        write_json(folder / "status.json", {"state": state, "exit_code": 0, "ended_s": T0 + 4200})
        with History(tmp_path / "history.db") as history:
            collect_run(folder, history)
            return build_report(history.record(folder.name))

    return imported


def coverage_notes(report: Any) -> list[Any]:
    return [note.text for note in report.notes if note.code == "coverage"]


def test_the_time_between_two_attempts_misses_no_sample(restarted: Callable[..., Any]) -> None:
    report = restarted()
    assert coverage_notes(report) == []
    assert report.coverage == pytest.approx(1.0, abs=0.01)


def test_the_queue_and_the_time_between_attempts_hold_no_gpu(restarted: Callable[..., Any]) -> None:
    report = restarted(queued_s=172_800)
    assert (report.waited_s, report.seconds) == (172_800, 4200)
    assert report.gpu_hours == pytest.approx(596 / 3600)
    assert [(f.what, f.actual, f.inside) for f in report.forecasts] == [("wall-clock", 600, True)]


def test_a_run_that_was_not_completed_says_nothing_of_its_estimate(restarted: Callable[..., Any]) -> None:
    (forecast,) = restarted(state="cancelled").forecasts
    assert (forecast.actual, forecast.inside) == (None, None)


def test_a_forecast_has_the_source_of_its_estimate() -> None:
    row = {f"{name}_{p}_s": 1.0 for name in ("step_time", "wall_clock") for p in ("p10", "p50", "p90")}
    step, whole = compare_forecasts({**row, "source_kind": "measured", "source": "from 1 run"}, 1.0, None)
    assert (step.source, whole.source) == ("measured: from 1 run", None)


def test_the_wait_has_a_line_of_its_own(restarted: Callable[..., Any]) -> None:
    page = Page(None, colour=False)
    run_text.render_report(page, restarted(queued_s=172_800), None)
    waited, took = str(page).splitlines()[1:3]
    assert waited.split()[:2] == ["waited", "2d"]
    assert took.split()[:3] == ["took", "1h", "10m"]


def test_a_hole_within_an_attempt_is_missing(restarted: Callable[..., Any]) -> None:
    report = restarted(hole=range(100, 150))
    assert coverage_notes(report) == ["GPU 0 lacks 50 of 596 readings"]
    assert report.coverage == pytest.approx(546 / 596, abs=0.01)


def test_an_attempt_whose_sampler_was_killed_misses_its_rest(restarted: Callable[..., Any]) -> None:
    report = restarted(until=200, ended=False)
    assert coverage_notes(report) == ["GPU 0 lacks 100 of 596 readings"]
    assert report.coverage == pytest.approx(496 / 596, abs=0.01)


def test_a_sampler_killed_in_the_last_attempt_is_found_although_the_first_ended_well() -> None:
    events = [Event(0, "start", ""), Event(300, "end", ""), Event(3900, "start", "")]
    assert find_early_end(events, 4000, 4200) == (200, "run")


@pytest.mark.parametrize(("last_s", "expected"), [(300, None), (200, (100, "attempt"))])
def test_a_node_is_asked_about_its_own_attempts_and_not_about_the_rest_of_the_run(
    last_s: int, expected: tuple[int, str] | None
) -> None:
    events = [Event(0, "start", ""), Event(300, "attempt_ended", "")]
    assert find_early_end(events, last_s, 12_000) == expected


def test_a_run_without_a_gpu_has_a_report_too(clusterplan: Command, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    assert clusterplan("sample", "--", "true", env=environment).returncode == 0
    done = clusterplan("report", env=environment)
    assert done.returncode == 0
    assert "no GPU was sampled: no NVIDIA GPU can be read here: " in done.stdout


def test_a_report_of_a_longer_run_needs_no_more_memory(tmp_path: Path) -> None:
    def peak_bytes(run: str, readings: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            assert build_report(history.record(run)).gpus[0].ticks == readings
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def least_peak_bytes(minutes: int) -> int:
        """Of several, because what is loaded and cached once, and what other threads do, comes on top."""
        run = f"of-{minutes}-minutes"
        history.put_run({"run": run, "folder": "/runs", "began_s": T0, "state": "running"})
        history.put_node(run, "n1", {"period_s": 1.0}, [{"uuid": "GPU-0"}])
        rows = [(T0 + second, GpuReading(0, 90, power_mw=600_000)) for second in range(minutes * 60)]
        history.put_readings(run, "n1.0.spool", "GPU-0", rows)
        return min(peak_bytes(run, minutes * 60) for _ in range(3))

    with History(tmp_path / "history.db") as history:
        assert least_peak_bytes(60) < 1.5 * least_peak_bytes(20)


def test_gpus_are_named_by_the_index_of_nvidia_smi(tmp_path: Path) -> None:
    with History(tmp_path / "history.db") as history:
        history.put_run({"run": "r", "folder": "/runs", "began_s": T0, "state": "running"})
        gpus = [{"uuid": f"MIG-{i}", "index": f"1:{i}"} for i in range(2)]
        history.put_node("r", "n1", {"period_s": 1.0}, [*gpus, {"uuid": "GPU-2", "index": "2"}])
        for uuid, percent in (("MIG-0", 90), ("MIG-1", 90), ("GPU-2", 0)):
            rows = [(T0 + second, GpuReading(0, percent, processes=1)) for second in range(60)]
            history.put_readings("r", "n1.0.spool", uuid, rows)
        report = build_report(history.record("r"))
    assert [gpu.index for gpu in report.gpus] == ["1:0", "1:1", "2"]
    assert report.notes[0].text.startswith("GPU 2 was idle for 1m of 1m ")


def test_a_rolled_up_metric_is_reported_from_its_line_in_the_registry(
    recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more metric in the report takes one more `Display`."""
    displays = (
        *DISPLAYS,
        Display("occupancy_mean", "occupancy", "%", 100.0, Gauge(1.0, "mean", per_run=True)),
    )
    for module in (report_module, run_text, run_json):
        monkeypatch.setattr(module, "DISPLAYS", displays)
    with History(tmp_path / "history.db") as history:
        collect_run(recorded, history)
        report = build_report(history.record(recorded.name))
    page = Page(None, colour=False)
    run_text.render_report(page, report, None)
    document = run_json.report_as_json(report, None)
    assert document["gpus"][0]["occupancy_mean"] == pytest.approx(document["occupancy_mean"], rel=0.5)
    assert sum("occupancy" in line for line in str(page).splitlines()) == 2  # a gauge and a column


def test_the_history_keeps_two_notes_with_one_code_on_the_same_gpus(tmp_path: Path) -> None:
    notes = [{"code": "xid", "text": f"GPU 0 reported XID {xid}", "uuids": ["GPU-0"]} for xid in (31, 79)]
    with History(tmp_path / "history.db") as history:
        history.put_run({"run": "r", "folder": "/runs", "began_s": T0, "state": "running"})
        history.put_notes("r", notes)
        assert history.notes("r") == notes


def test_an_unknown_run_is_one_line(reported: Callable[..., Any]) -> None:
    done = reported("nothing")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
