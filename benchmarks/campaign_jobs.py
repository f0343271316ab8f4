"""Jobs of campaigns with the times that they truly take in each shape: synthetic ones, and those of published traces.

Synthetic: hours on 8 GPUs are log-normal with sigma 1, and the time on g GPUs is Amdahl's, with a given efficiency at 8.
Traces: steps x measured step time of that shape; a micro-batch between two measured ones is interpolated, and above the
largest it is accumulated.  The global batch of a job stays the same.
"""

import csv
import math
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterplan.estimator.campaign.campaign import Mode

GPUS_PER_NODE = 8
COUNTS = (1, 2, 4, 8, 16, 32, 64)
POOL = "gpu"


@dataclass(frozen=True)
class TrueJob:
    """A job: when it is submitted, and its seconds by the number of GPUs."""

    name: str
    submit_s: float
    seconds: Mapping[int, float]

    def modes(self, most: int) -> tuple[Mode, ...]:
        """Return the shapes that are faster than all with fewer GPUs, as if the times were known."""
        modes, best_s = list[Mode](), math.inf
        for gpus, seconds in sorted(self.seconds.items()):
            if gpus <= most and seconds < best_s:
                best_s = seconds
                modes.append(Mode(POOL, -(-gpus // GPUS_PER_NODE), gpus, seconds, seconds))
        return tuple(modes)

    def on_eight(self) -> Mode:
        """Return what habit asks for: 8 GPUs, or the most that were measured."""
        gpus = max(count for count in self.seconds if count <= GPUS_PER_NODE)
        return Mode(POOL, 1, gpus, self.seconds[gpus], self.seconds[gpus])


def synthetic(count: int, efficiency: float, seed: int) -> list[TrueJob]:
    """Return jobs of 4 hours on 8 GPUs in the median."""
    rng, jobs = random.Random(seed), list[TrueJob]()
    for number in range(count):
        hours = 4 * math.exp(rng.gauss(0, 1))
        serial = (1 / min(max(rng.gauss(efficiency, 0.05), 0.4), 0.99) - 1) / 7
        one_s = hours * 3600 / ((1 - serial) / 8 + serial)
        seconds = {gpus: one_s * ((1 - serial) / gpus + serial) for gpus in COUNTS}
        jobs.append(TrueJob(f"j{number}", 0.0, seconds))
    return jobs


def read_trace(folder: Path, name: str) -> list[TrueJob]:
    """Return the jobs of a trace that have a measured curve."""
    curves = _read_curves(folder, name)
    jobs = []
    with (folder / "campaigns" / f"{name}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            series = curves.get((row["application"], row["strategy"])) or curves.get((row["application"], ""))
            if not series:
                continue
            steps, batch = int(row["steps"]), int(row["batch_size"])
            seconds = {
                gpus: steps * step_s
                for gpus in COUNTS
                if (step_s := _step_s(series.get(gpus, {}), batch / gpus))
            }
            if seconds:
                jobs.append(TrueJob(row["job"], float(row["submit_s"]), seconds))
    return jobs


Curve = dict[int, dict[float, float]]  # step time by GPUs and micro-batch


def _read_curves(folder: Path, campaign: str) -> dict[tuple[str, str], Curve]:
    """Return the curve of each application and strategy; of several GPU types the one with most GPUs on a node."""
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with (folder / "campaigns" / "applications.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["campaign"] == campaign and (
                "@" not in row["series"] or "dgx" in row["series"] or "k80" in row["series"]
            ):
                wanted[row["file"]].append((row["application"], row["series"]))
    curves: dict[tuple[str, str], Curve] = {}
    for name, pairs in wanted.items():
        by_series: dict[str, list[dict[str, str]]] = defaultdict(list)
        with (folder / name).open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                by_series[row["series"]].append(row)
        for application, series in pairs:
            strategy = series.rpartition("/")[2] if "/" in series else ""
            curves[application, strategy] = _curve(by_series[series])
    return curves


def _curve(rows: list[dict[str, str]]) -> Curve:
    """Return the mean step times on the fewest nodes of each number of GPUs; replicas of one GPU alone."""
    fewest: dict[int, int] = {}
    points: dict[tuple[int, int, float], list[float]] = defaultdict(list)
    for row in rows:
        if row.get("model_parallel", "1") not in ("", "1"):
            continue
        gpus, nodes = int(row.get("num_gpus") or row["gpus"]), int(row.get("num_nodes") or row["nodes"])
        batch = float(row.get("local_bsz") or float(row["global_batch"]) / gpus)
        fewest[gpus] = min(fewest.get(gpus, nodes), nodes)
        points[gpus, nodes, batch].append(
            float(row["step_time"] if "step_time" in row else row["step_time_s"])
        )
    curve: Curve = defaultdict(dict)
    for (gpus, nodes, batch), times in points.items():
        if nodes == fewest[gpus]:
            curve[gpus][batch] = sum(times) / len(times)
    return curve


def _step_s(points: Mapping[float, float], batch: float) -> float | None:
    """Return the step time of a micro-batch; None if it is below all that was measured, or nothing was."""
    if not points or batch < min(points) * 0.999:
        return None
    accumulation = math.ceil(batch / max(points) - 1e-9)
    each = batch / accumulation
    below = max((b for b in points if b <= each * 1.001), default=min(points))
    above = min((b for b in points if b >= each * 0.999), default=max(points))
    share = (each - below) / (above - below) if above > below else 0.0
    return accumulation * (points[below] + share * (points[above] - points[below]))
