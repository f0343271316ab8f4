"""The report of a run as a file: opened from the disk with the network cut, in one Chromium.

What a page must keep to: WCAG 2.2 as axe-core checks it (https://github.com/dequelabs/axe-core), a width of 360 px
without scrolling sideways (https://www.w3.org/WAI/WCAG22/Understanding/reflow.html).
"""

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clusterplan.estimator.gpu_use.course.course import assemble_course, choose_width_s
from clusterplan.estimator.gpu_use.course.places import place_notes
from clusterplan.estimator.gpu_use.forecast import Forecast
from clusterplan.estimator.gpu_use.notes import Note
from clusterplan.estimator.gpu_use.reading import DISPLAYS
from clusterplan.estimator.gpu_use.report import GpuReport, RunReport
from clusterplan.estimator.ranges import Range
from clusterplan.estimator.stopping.curve import Curve, Point
from clusterplan.launcher.curves.training_log import TrainingLog
from clusterplan.launcher.runs.explain.story import Chapter
from clusterplan.launcher.runs.run_status import RunStatus
from clusterplan.launcher.runs.state import RunState, State
from clusterplan.render.pages.run_charts import RunDetails
from clusterplan.render.pages.run_page import render_run_page
from clusterplan.render.pages.sweep_page import render_sweep_page
from clusterplan.render.runs.sweep_text import SweepRun, order_runs, sweep_as_json

HOSTILE = "<img src=http://x.test/a onerror=alert(1)></script>\x1b[2J'; DROP TABLE run; --\u202e"
BEGAN_S = 1_800_000_000.0
HOURS = 6
GPUS = 8


def gpu(number: int) -> GpuReport:
    metrics: dict[str, float | None] = dict.fromkeys((each.column for each in DISPLAYS), 50.0)
    return GpuReport(f"GPU-{number}", "n1", str(number), number, HOSTILE, metrics, 80 << 30, 700.0, 100, ())


def make_report() -> RunReport:
    note = Note("idle", f"GPU 3 did nothing {HOSTILE}", ("GPU-3",))
    forecast = Forecast("wall-clock", Range(15_000.0, 20_000.0, 30_000.0), 21_600.0, HOSTILE)
    return RunReport(
        run=HOSTILE, name=HOSTILE, state="failed", began_utc=None, started_utc=None, waited_s=60.0, seconds=21_600.0,
        gpu_hours=48.0, gpus=tuple(map(gpu, range(GPUS))), notes=(note,), coverage=1.0, attribution_guessed=False,
        forecasts=(forecast,),
    )  # fmt: skip


def make_status(state: State = State.OUT_OF_MEMORY, sweep: dict[str, str] | None = None) -> RunStatus:
    return RunStatus(
        run=HOSTILE, folder=Path("/gone"), state=RunState(state, HOSTILE, BEGAN_S + 21_600), job="1", restarts=1,
        progress=None, sweep=sweep or {}, began_s=BEGAN_S, facts={"shape": {"gpus": GPUS}},
    )  # fmt: skip


def make_log() -> TrainingLog:
    losses = tuple(Point(step, 3 * math.exp(-step / 900)) for step in range(10, 3000, 10))
    speeds = tuple(Point(step, 2.0) for step in range(10, 3000, 10))
    validations = (Point(1000, 2.0), Point(2000, 1.5), Point(2900, 1.6))
    return TrainingLog(Curve((*losses, Point(3000, math.nan)), validations), "run", 0.5, speeds=speeds)


def make_page() -> str:
    report = make_report()
    width_s = choose_width_s(HOURS * 3600, 1.0, has_readings=False)
    parts = int(HOURS * 3600 / width_s)
    rows = [
        (
            f"GPU-{number}",
            part,
            (0.0 if number == 3 and 50 < part < 80 else 90.0 + number, None, 60e9, 500.0, 70.0),
        )
        for number in range(GPUS)
        for part in range(parts)
    ]
    course = assemble_course(rows, BEGAN_S, width_s, HOURS * 3600)
    chapters = [
        Chapter(BEGAN_S - 600, BEGAN_S, "wait", "in the queue"),
        Chapter(BEGAN_S, BEGAN_S + 9000, "stop", "attempt 1", HOSTILE),
        Chapter(BEGAN_S + 9600, BEGAN_S + 21_600, "bad", "attempt 2", HOSTILE),
    ]
    places = place_notes(report.notes, course, [])
    details = RunDetails(course, places, make_log(), chapters, HOSTILE, "today")
    return render_run_page(report, None, make_status(), details)


def test_a_note_has_its_place_in_the_chart_that_it_speaks_of() -> None:
    assert "GPU utilisation, from 1h 42m to 2h 40m" in make_page()


def test_nothing_that_a_run_says_becomes_markup() -> None:
    page = make_page()
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_without_readings_a_sentence_stands_for_the_charts() -> None:
    bare = RunReport(**{**vars(make_report()), "gpus": (), "notes": (), "forecasts": ()})
    page = render_run_page(bare, None, None, RunDetails())
    assert "<figure" not in page
    assert "No GPU was read." in page


def sweep() -> list[SweepRun]:
    runs = [SweepRun.of(make_status(State.COMPLETED, {"lr": f"1e-{n}"}), make_log()) for n in (3, 4)]
    return [*runs, SweepRun.of(make_status(State.FAILED, {"lr": HOSTILE}), None)]


def test_a_sweep_tells_loss_evaluation_speed_and_gpu_hours_of_each_run() -> None:
    first, _, failed = sweep_as_json("lr", sweep())["runs"]
    assert (first["best_evaluation"], first["steps_per_s"], first["gpu_hours"]) == (1.5, 2.0, 48.0)
    assert first["last_loss"] == pytest.approx(3 * math.exp(-2990 / 900))
    assert (failed["best_evaluation"], failed["last_loss"]) == (None, None)


def test_the_best_evaluation_stands_first() -> None:
    assert [run.best_evaluation for run in order_runs(reversed(sweep()))] == [1.5, 1.5, None]  # type: ignore[arg-type]


def test_the_page_of_a_sweep_has_no_markup_of_its_runs() -> None:
    page = render_sweep_page(HOSTILE, sweep(), "today")
    assert "<img" not in page
    assert page.count("</script>") == 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(make_page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def sweep_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sweep") / "sweep.html"
    path.write_text(render_sweep_page(HOSTILE, sweep(), "today"), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Open a page offline; at the end, nothing was asked of a network and nothing was wrong."""
    contexts, faults, requests, addresses = [], list[str](), set[str](), set[str]()

    def opened(address: str = address, **options: Any) -> Any:
        addresses.add(address)
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.add(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []
    assert requests == addresses


def serious_faults(page: Any) -> list[str]:
    """What axe-core finds, by its names."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    violations = axe.Axe().run(page).response["violations"]
    return [each["id"] for each in violations if each["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_charts_are_drawn_and_axe_finds_nothing_serious(open_page: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    assert page.locator("figure.chart svg.plot").count() == 8
    assert serious_faults(page) == []


def test_the_page_of_a_sweep_is_whole_on_a_phone(open_page: Any, sweep_address: str) -> None:
    page = open_page(sweep_address, viewport={"width": 360, "height": 740}, color_scheme="dark")
    assert page.locator("figure.chart svg.plot").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert serious_faults(page) == []


def test_in_forced_colours_every_line_and_time_has_its_key(open_page: Any) -> None:
    """Backgrounds go there, unless a style says otherwise: https://www.w3.org/TR/css-color-adjust-1/#forced."""
    page = open_page(forced_colors="active")
    drawn = "style => style.borderTopWidth !== '0px' || style.backgroundColor !== 'rgb(255, 255, 255)'"
    keys = f"keys => keys.map(key => ({drawn})(getComputedStyle(key)))"
    assert set(page.locator(".legend .key").evaluate_all(keys)) == {True}


def test_a_phone_scrolls_no_page_sideways(open_page: Any) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_keyboard_reads_values_zooms_and_shows_all_again(open_page: Any) -> None:
    page = open_page(reduced_motion="reduce")
    room = page.locator("#chart-utilisation .room")
    room.focus()
    page.keyboard.press("Home")
    assert "time 1m " in page.locator("#chart-utilisation .readout").inner_text()
    plot = page.locator("#chart-utilisation svg.plot")
    page.keyboard.press("+")
    assert float(re.split(" ", plot.get_attribute("viewBox"))[2]) == 500
    page.keyboard.press("Escape")
    assert float(re.split(" ", plot.get_attribute("viewBox"))[2]) == 1000


def test_one_more_gpu_can_be_drawn(open_page: Any) -> None:
    page = open_page()
    page.locator("#choose-gpu select").select_option("7")
    assert page.locator("#chart-power path.chosen").count() == 1


def test_without_a_script_the_charts_are_there(open_page: Any) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator("figure.chart svg.plot").count() == 8


def test_it_prints(open_page: Any) -> None:
    assert open_page().pdf().startswith(b"%PDF")
