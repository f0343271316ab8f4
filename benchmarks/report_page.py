"""The report of a long run as a page: its size, how long it takes to build, and when a browser first paints it.

    python benchmarks/report_page.py [--gpus 64] [--days 7] [--keep FILE]

It makes a history of one run whose readings are summed up, as they are after `history prune`, and builds its page from
that.  The first paint is Chromium's own entry `first-contentful-paint`; without playwright or chromium it is left out.
"""

import argparse
import math
import shutil
import tempfile
import time
from pathlib import Path

from clusterplan.api.history.history import History
from clusterplan.api.report import Report
from clusterplan.api.reports.page import read_details
from clusterplan.estimator.gpu_use.report import build_report
from clusterplan.estimator.gpu_use.rollup import COLUMNS, Rollup
from clusterplan.estimator.history.rollup_table import WIDTHS_S, insert_rollup, stored_values
from clusterplan.render.pages.run_page import render_run_page

RUN = "llava-moe-7b-20260105T080000-ab12"
BEGAN_S = 1_767_600_000
PER_NODE = 8
DAY_S = 86_400


class LongHistory(History):
    """A history with one run whose GPUs worked for days."""

    def put_long_run(self, gpus: int, days: int) -> None:
        """Put a run of `gpus` GPUs and its rollups of a minute and of ten."""
        seconds = days * DAY_S
        times = {"began_s": BEGAN_S - 900.0, "started_s": float(BEGAN_S), "ended_s": float(BEGAN_S + seconds)}
        with self.writing():
            self.put_run(
                {"run": RUN, "folder": "/gone", "name": "llava-moe-7b", "state": "completed", **times}
            )
            for node in range(math.ceil(gpus / PER_NODE)):
                facts = [self._facts(node, index) for index in range(min(PER_NODE, gpus - node * PER_NODE))]
                self.put_node(RUN, f"gpu{node + 1:02d}", {"period_s": 1.0, "attribution": "cgroup"}, facts)
            for number in range(gpus):
                self._put_gpu(f"GPU-{number:04d}", number, seconds)
            self.put_notes(
                RUN, [{"code": "straggler", "text": "GPU 5 on gpu02 is 20 % slower", "uuids": ["GPU-0013"]}]
            )

    def _facts(self, node: int, index: int) -> dict[str, object]:
        uuid = f"GPU-{node * PER_NODE + index:04d}"
        return {
            "uuid": uuid,
            "index": str(index),
            "name": "NVIDIA H100 80GB HBM3",
            "memory_bytes": 80 << 30,
            "power_limit_w": 700.0,
        }

    def _put_gpu(self, uuid: str, number: int, seconds: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO series (run, uuid) VALUES (?, ?)", (RUN, uuid))
        for width_s in WIDTHS_S:
            rollups = (_rollup(BEGAN_S + at, width_s, number) for at in range(0, seconds, width_s))
            self._db.executemany(insert_rollup(), [(RUN, uuid, *stored_values(each)) for each in rollups])
        self._put(
            "spool_gpu",
            ("run", "uuid", "spool"),
            {
                "run": RUN,
                "uuid": uuid,
                "spool": "s",
                "first_s": BEGAN_S,
                "last_s": BEGAN_S + seconds - 1,
                "energy_mj": 600_000 * seconds,
            },
        )
        self._db.execute(
            "UPDATE run_gpu SET first_s = ?, last_s = ?, ticks = ?, utilisation_mean = 90, power_mean_w = 600,"
            " memory_peak_bytes = ?, energy_j = ? WHERE run = ? AND uuid = ?",
            (BEGAN_S, BEGAN_S + seconds - 1, seconds, 71 << 30, 600.0 * seconds, RUN, uuid),
        )


def _rollup(time_s: int, width_s: int, number: int) -> Rollup:
    wave = math.sin(time_s / 7000 + number) + math.sin(time_s / 900 * (1 + number / 100)) / 3
    values = dict.fromkeys(COLUMNS) | {
        "utilisation_mean": (70 if number == 13 else 91) + 4 * wave,
        "tensor_active_mean": 0.5 + 0.04 * wave,
        "memory_peak_bytes": (70 << 30) + int(wave * 2**29),
        "power_mean_w": 590 + 40 * wave - (90 if number == 13 else 0),
        "temperature_max_c": round(66 + 4 * wave + number % 5),
    }
    return Rollup(time_s, width_s, width_s, width_s * 6, values)


def main() -> None:
    """Make the history, build the page, and print its size and its times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="keep the page here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LongHistory(Path(folder) / "history.db") as history:
        history.put_long_run(options.gpus, options.days)
        begin = time.perf_counter()
        report = Report(**vars(build_report(history.record(RUN))))
        read = time.perf_counter()
        page = render_run_page(report, None, None, read_details(report, history))
        built = time.perf_counter()
        path = options.keep or Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        print(f"{options.gpus} GPUs, {options.days} days: {len(page.encode()) / 1e6:.2f} MB")
        print(f"report read in {read - begin:.2f} s, page built in {built - read:.2f} s")
        paint_ms = first_paint_ms(path)
        print(
            "first paint not measured: no chromium, or no playwright"
            if paint_ms is None
            else f"first paint after {paint_ms:.0f} ms"
        )


def first_paint_ms(path: Path) -> float | None:
    """Return the first contentful paint of a file in headless Chromium; None where there is none."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  an optional tool
    except ImportError:
        return None
    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(path.as_uri())
        entry = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
        paint = page.wait_for_function(f"() => {entry}").json_value()
        browser.close()
        return float(paint)


if __name__ == "__main__":
    main()
