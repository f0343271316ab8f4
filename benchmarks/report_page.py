"""The report of a long run as a page: its size, how long it takes to build, and when a browser first paints it.

    python benchmarks/report_page.py [--gpus 64] [--days 7] [--no-raw] [--keep FILE]

It makes a history of one run that has just ended, with a reading per second, and builds its page; `--no-raw` leaves
the readings out, as `history prune` does.  The time of the whole command is that of `clusterplan report RUN --html
FILE` in a process of its own, the start of Python and all imports included.  The first paint is Chromium's own entry
`first-contentful-paint`; without playwright or chromium it is left out.
"""

import argparse
import itertools
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from clusterplan.api.history.history import History
from clusterplan.api.report import Report
from clusterplan.api.reports.page import read_details
from clusterplan.estimator.gpu_use.reading import GpuReading
from clusterplan.estimator.gpu_use.report import build_report
from clusterplan.estimator.gpu_use.rollup import COLUMNS, Rollup
from clusterplan.estimator.history.packed_block import pack
from clusterplan.estimator.history.rollup_table import WIDTHS_S, insert_rollup, stored_values
from clusterplan.estimator.history.samples import BLOCK_S
from clusterplan.render.pages.run_page import render_run_page

RUN = "llava-moe-7b-20260105T080000-ab12"
BEGAN_S = 1_767_600_000
PER_NODE = 8
DAY_S = 86_400


class LongHistory(History):
    """A history with one run whose GPUs worked for days."""

    def put_long_run(self, gpus: int, days: int, *, raw: bool) -> None:
        """Put a run of `gpus` GPUs, its rollups of a minute and of ten, and if `raw` its readings."""
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
            if raw:
                self._put_blocks([f"GPU-{number:04d}" for number in range(gpus)], seconds)
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

    def _put_blocks(self, uuids: Sequence[str], seconds: int) -> None:
        """All GPUs have the same block: to pack one takes longer than to write it."""
        for at in range(0, seconds, BLOCK_S):
            rows = [(BEGAN_S + at + second, _reading(at + second)) for second in range(BLOCK_S)]
            packed = pack(rows)
            self._db.executemany(
                "INSERT INTO raw_block VALUES (?, ?, ?, ?, ?)",
                [(RUN, uuid, BEGAN_S + at, BLOCK_S, packed) for uuid in uuids],
            )


def _reading(second: int) -> GpuReading:
    noise = second * 7919 % 97
    return GpuReading(
        0,
        utilisation_percent=85 + noise % 15,
        memory_used_bytes=(70 << 30) + (noise << 20),
        power_mw=590_000 + 1000 * noise,
        temperature_c=60 + noise % 9,
        energy_mj=600_000 * second,
        processes=1,
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
    parser.add_argument("--no-raw", action="store_true", help="leave the readings out")
    parser.add_argument("--keep", type=Path, help="keep the page here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history_path, path = Path(folder) / "history.db", options.keep or Path(folder) / "report.html"
        with LongHistory(history_path) as history:
            history.put_long_run(options.gpus, options.days, raw=not options.no_raw)
            clocks = [_clocks()]
            report = Report(**vars(build_report(history.record(RUN))))
            clocks.append(_clocks())
            render_run_page(report, None, None, read_details(report, history))
            clocks.append(_clocks())
        for what, (before, after) in zip(
            ("report read", "page built"), itertools.pairwise(clocks), strict=True
        ):
            print(f"{what} in {_spent(before, after)}")
        before = _clocks()
        _run_command(history_path, path)
        print(f"the whole command in {_spent(before, _clocks())}")
        print(f"{options.gpus} GPUs, {options.days} days: {path.stat().st_size / 1e6:.2f} MB")
        paint_ms = first_paint_ms(path)
        print(
            "first paint not measured: no chromium, or no playwright"
            if paint_ms is None
            else f"first paint after {paint_ms:.0f} ms"
        )


def _run_command(history: Path, path: Path) -> None:
    environment = {**os.environ, "CLUSTERPLAN_HISTORY": str(history)}
    command = [sys.executable, "-m", "clusterplan", "report", RUN, "--html", str(path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _clocks() -> tuple[float, float]:
    """The wall clock, and the CPU time of this process and of those it waited for."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _spent(before: tuple[float, float], after: tuple[float, float]) -> str:
    return f"{after[0] - before[0]:.2f} s, of which {after[1] - before[1]:.2f} s on the CPU"


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
