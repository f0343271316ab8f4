"""`make pictures`: the pictures of README and pages, from what the commands answer of real runs.

The runs are of examples/cpu_ddp.py on this machine; the GPUs are those of the fake driver.  It takes 10 minutes at most;
`docs/draw_pictures.py loop scaling` draws these two alone.
"""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from picture_charts import Card, ScoredRun, describe_range, draw_calibration, draw_loop
from picture_runs import HERE, Machine, first_frame

from clusterplan.cluster_profiles.units import format_duration
from clusterplan.estimator.ranges import Range
from clusterplan.render.charts.figure import render_picture
from clusterplan.render.charts.range_chart import ScalingPoint, draw_scaling

FOLDER = Path(__file__).parent / "pictures"
DAY_S = 86_400
STEP_S = 0.1
COLUMNS = 112
WATCHED_STEP = 300
# In the order of the runs: GPUs, micro-batch.  The first of each kind is beyond what was measured before.
SHAPES = ((1, 16), (2, 16), (2, 16), (1, 32), (2, 32), (4, 16), (1, 64), (4, 32), (2, 64), (4, 16))
GPUS = """\
gpu count=8 name="NVIDIA H100 80GB HBM3" mem_gib=79.65 power_w=700 mem_used=0.62
wave gpu=0,1,2,3 hi=93
wave gpu=4,6,7 hi=89
wave gpu=5 kind=square period=16 duty=0.5 lo=2 hi=96 at=20
reasons gpu=7 at=70 until=110 mask=0x40
"""


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        if not names or name in names:
            with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
                draw(Path(folder))


def draw_scaling_picture(folder: Path) -> None:
    """Draw the days that a training takes by GPUs."""
    job = "--samples 30e6 --batch-size 32 --samples-per-s-per-gpu 11 --profile slurm-a100 --gpus 8,16,32,64"
    shapes = Machine(folder).ask("estimate", *job.split())["shapes"]
    points = [ScalingPoint(row["shape"]["gpus"], _range(row["wall_clock_s"], DAY_S)) for row in shapes]
    _write(
        "scaling", render_picture(draw_scaling("scaling", "30 million samples: time by GPUs", points, "days"))
    )


def draw_loop_picture(folder: Path) -> None:
    """Draw a job that nobody has measured, round the loop."""
    machine = Machine(folder)
    job = machine.write_job("loop", 300, 2, 32, 5 * STEP_S)
    machine.ask("calibrate", job, "--budget", "8m", *HERE)
    before = _time(machine, job)
    run = machine.ask("submit", job, "--time", "110s", *HERE)["run"]
    stopped = machine.wait(run)
    machine.ask("resume", run, "--time", "5m", *HERE)
    machine.wait(run)
    report = machine.ask("report", run)
    wall_clock = next(f for f in report["forecasts"] if f["what"] == "wall-clock")
    after = _time(machine, job)
    took = wall_clock["actual_s"]
    cards = [
        Card(
            "1  Estimate",
            "clusterplan estimate job.toml",
            f"{describe_range(before)}, from two short probes",
            before,
        ),
        Card(
            "2  Submit",
            "clusterplan submit job.toml",
            f"stopped at step {stopped['steps_done']}, resumed there",
        ),
        Card("3  Measure", "clusterplan report", f"it took {format_duration(took)}", before, took),
        Card("4  Learn", "clusterplan estimate job.toml", f"{describe_range(after)} for the next one", after),
    ]
    _write("loop", draw_loop(cards))


def draw_calibration_picture(folder: Path) -> None:
    """Draw runs of ten shapes, each estimated by the runs before it."""
    machine = Machine(folder)
    machine.ask("calibrate", _write_shape(machine, *SHAPES[0]), "--budget", "8m", *HERE)
    runs = list[ScoredRun]()
    for gpus, batch in SHAPES:
        run = machine.ask("submit", _write_shape(machine, gpus, batch), *HERE)["run"]
        machine.wait(run)
        step = next(f for f in machine.ask("report", run)["forecasts"] if f["what"] == "step time")
        runs.append(ScoredRun(f"{gpus} x {batch}", _range(step["estimated_s"]), step["actual_s"]))
    _write("calibration", render_picture(draw_calibration(runs)))


def draw_run_pictures(folder: Path) -> None:
    """Draw `watch` while a run trains on eight GPUs and another waits for them, and the report of the first."""
    machine = Machine(folder, GPUS)
    job = machine.write_job("train", 1500, 8, 4, STEP_S)
    machine.ask("calibrate", job, "--budget", "30m", *HERE[:2])
    run = machine.ask("submit", job, "--time", "150s", *HERE[:2])["run"]
    machine.wait(run, lambda status: status["state"] == "running")
    waits = machine.ask("submit", machine.write_job("next", 500, 8, 4, STEP_S), *HERE[:2])["run"]
    machine.wait(waits, lambda status: status["reason"] != "starting")
    machine.wait(run, lambda status: (status["steps_done"] or 0) > WATCHED_STEP)
    _write("watch", _render_terminal(first_frame(machine.show(COLUMNS, "watch")), "clusterplan watch"))
    machine.run("cancel", waits)
    machine.wait(run)
    machine.ask("resume", run, "--time", "10m", *HERE[:2])
    machine.wait(run)
    machine.run("report", run, "--html", folder / "report.html")
    _photograph(folder / "report.html")


def draw_pages_pictures(folder: Path) -> None:
    """Draw two pages of `serve` after a few runs on GPUs of the fake driver."""
    machine = Machine(folder, GPUS)
    for model, gpus, batch in (("llava-moe", 2, 4), ("llava-moe", 8, 4), ("phi2", 4, 4), ("clip", 8, 8)):
        job = machine.write_job(f"{model}-{gpus}", 150, gpus, batch, STEP_S, model)
        machine.wait(machine.ask("submit", job, *HERE[:2])["run"])
    machine.ask("history", "list")
    asked = (
        "estimate?model=llava-moe&samples=2000000&batch_size=4&gpus=2,4,8,16&framework=floor&precision=fp32"
    )
    with machine.serve() as link, _browser() as view:
        view.goto(link)
        view.locator("#chart-by-user").wait_for()  # behind the page that takes the link
        view.screenshot(path=FOLDER / "serve.png")
        view.goto(link.partition("enter?")[0] + asked)
        view.locator("figure").first.screenshot(path=FOLDER / "serve-estimate.png")


def _write_shape(machine: Machine, gpus: int, batch: int) -> Path:
    return machine.write_job("shape", 60, gpus, batch, 0.03 + 0.002 * batch)


def _render_terminal(shown: str, title: str) -> str:
    """Return what a terminal shows as SVG, in the fonts of the reader."""
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown, no_wrap=True), soft_wrap=False)
    svg = console.export_svg(title=title, unique_id="watch")
    # rich names a font of another server.
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono")


def _photograph(page: Path) -> None:
    """Draw how the run of a report ended, and what its GPUs did."""
    with _browser() as view:
        # As on the other pages: where the picture was made is of no use to a reader.
        text = page.read_text(encoding="utf-8").replace(str(page.parent), "/scratch/me")
        view.set_content(text)
        story = view.locator("#chart-story .room").bounding_box()
        below = story["y"] + story["height"] + 16
        view.screenshot(
            path=FOLDER / "report.png", full_page=True, clip={"x": 0, "y": 0, "width": 880, "height": below}
        )
        view.locator("#chart-utilisation").screenshot(path=FOLDER / "report-gpus.png")


@contextmanager
def _browser() -> Iterator[Any]:
    """Open an empty page of Chromium."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 880, "height": 1000})
        browser.close()


def _time(machine: Machine, job: Path) -> Range:
    return _range(machine.ask("estimate", job)["wall_clock_s"])


def _range(values: dict[str, float], unit: float = 1.0) -> Range:
    return Range(*(values[key] / unit for key in ("p10", "p50", "p90")))


def _write(name: str, text: str) -> None:
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


PICTURES: dict[str, Callable[[Path], Any]] = {
    "scaling": draw_scaling_picture,
    "loop": draw_loop_picture,
    "calibration": draw_calibration_picture,
    "run": draw_run_pictures,
    "pages": draw_pages_pictures,
}

if __name__ == "__main__":
    main(sys.argv[1:])
