"""Score predictions of step times from a few runs: ours beside linear scaling, Amdahl, Ernest and Pollux.

    python benchmarks/accuracy.py --data FILE [--seeds 4] [--methods clusterplan,ernest]

FILE is a CSV of measured step times with the columns series, model, gpu, num_nodes, num_gpus, gpus_per_node,
local_bsz (per GPU) and step_time (s).  A column sync_time (s) is for Pollux's own code, the package adaptdl, where it
is installed.  A series is one model on one cluster.

An episode gives each method k runs, as a user makes them first: one GPU first, few batch sizes, at most 4 GPUs (8 from
k = 8), at most 2 nodes, and never more than half of the largest job.  The method predicts every other configuration
within a factor 4 of these batch sizes: `extra` has more GPUs or nodes than any run, `interp` is the rest.  Each series
counts once.
"""

import argparse
import csv
import importlib.util
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import rivals

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.predict import fit
from clusterplan.estimator.step_time.transfer import measured_range

MAX_GPUS = {1: 1, 2: 2, 3: 4, 4: 4, 6: 4, 8: 8, 12: 8}
BATCH_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 6: 2, 8: 3, 12: 4}
MOST_NODES, BATCH_FACTOR = 2, 4

ShapeKey = tuple[int, int, int, int]  # nodes, GPUs, GPUs per node, micro-batch
StepTimes = dict[ShapeKey, list[float]]  # seconds of each repeat
Series = dict[str, StepTimes]
# What is scored, and the factor from its unit to the printed one.
COLUMNS = {
    "MAPE %": 100,
    "within 10 %": 100,
    "within 20 %": 100,
    "80 % interval covers %": 100,
    "ms per prediction": 1000,
}


def predict(observations: list[dict[str, Any]], queries: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return step_time, lo80 and hi80 (s) of each query, as `clusterplan estimate` predicts them."""
    runs = [
        Measurement(
            o["model"],
            o["gpu"],
            *_numbers(o),
            accumulation=1,
            precision=Precision.AUTO,
            seq_len=None,
            step_time_s=float(o["step_time"]),
        )
        for o in observations
    ]
    steps = [p.step_time_s for p in fit(runs).predict([Shape(q["gpu"], *_numbers(q)) for q in queries])]
    return [{"step_time": s.p50, "lo80": s.p10, "hi80": s.p90} for s in steps]


def _numbers(row: Mapping[str, Any]) -> ShapeKey:
    return int(row["num_nodes"]), int(row["num_gpus"]), int(row["gpus_per_node"]), int(row["local_bsz"])


def clusterplan(
    runs: np.ndarray, times: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P50, P10 and P90 of each query, in seconds."""
    keys = ("num_nodes", "num_gpus", "gpus_per_node", "local_bsz")
    observations = [
        dict(zip(keys, row, strict=True), model="", gpu="", step_time=t)
        for row, t in zip(runs[:, :4], times, strict=True)
    ]
    predictions = predict(observations, [dict(zip(keys, row, strict=True), gpu="") for row in queries])
    point, low, high = np.array([list(p.values()) for p in predictions]).T
    return point, low, high


METHODS = {
    "linear": rivals.linear,
    "amdahl": rivals.amdahl,
    "ernest": rivals.ernest,
    "pollux": rivals.pollux,
    "clusterplan": clusterplan,
} | ({"adaptdl": rivals.adaptdl} if importlib.util.find_spec("adaptdl") else {})


def read_series(path: Path, column: str = "step_time") -> Series:
    """Read the seconds of each series and shape; 0 where the column is missing or empty."""
    series: dict[str, dict[ShapeKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            series[row["series"]][_numbers(row)].append(float(row.get(column) or 0))
    return {name: dict(sorted(times.items())) for name, times in series.items()}


def pilot_runs(
    name: str, shapes: list[ShapeKey], k: int, seed: int
) -> tuple[list[ShapeKey], np.random.Generator]:
    """Choose the k shapes that a user measures first; also return the generator, for the choice of repeats."""
    rng = np.random.default_rng(zlib.crc32(repr(("pilot", name, k, seed)).encode()))
    gpus = min(MAX_GPUS[k], max(max(s[1] for s in shapes) // 2, 1))
    nodes = 1 if k <= 2 else MOST_NODES
    sizes = sorted({s[3] for s in shapes})
    sizes_used = min(BATCH_SIZES[k], len(sizes))
    upper = sizes[len(sizes) // 4 :]  # people start near what fits
    order = [int(b) for b in rng.permutation(upper if len(upper) >= sizes_used else sizes)]
    order += [int(b) for b in rng.permutation([b for b in sizes if b not in order])]
    while True:
        pool = [s for s in shapes if s[3] in order[:sizes_used] and s[1] <= gpus and s[0] <= nodes]
        if len(pool) >= k or sizes_used >= len(order):
            break
        sizes_used += 1
    single = [s for s in pool if s[1] == 1] or [s for s in shapes if s[1] == 1]
    pilots = [single[rng.integers(len(single))]]
    rest = [s for s in pool if s not in pilots]
    weight = np.array([1 / s[1] for s in rest])
    extra = min(k - 1, len(rest))
    if extra:
        pilots += [rest[i] for i in rng.choice(len(rest), extra, replace=False, p=weight / weight.sum())]
    across = [s for s in pool if s[0] > 1]
    if k >= 4 and seed % 2 == 0 and across and not any(s[0] > 1 for s in pilots):
        pilots[-1] = across[rng.integers(len(across))]
    return pilots, rng


class Score(NamedTuple):
    """How one method did on one part of one episode."""

    method: str
    part: str
    k: int
    series: str
    values: tuple[float, ...]  # of COLUMNS


def evaluate(series: Series, sync: Series, methods: list[str], seeds: int) -> list[Score]:
    """Score each method on each episode: a series, k runs and a seed."""
    return [
        score
        for name in series
        for k in MAX_GPUS
        for seed in range(seeds)
        for score in score_episode(name, series[name], sync[name], k, seed, methods)
    ]


def score_episode(
    name: str, times: StepTimes, sync: StepTimes, k: int, seed: int, methods: list[str]
) -> Iterator[Score]:
    """Score each method on the shapes near k pilot runs."""
    pilots, rng = pilot_runs(name, list(times), k, seed)
    queries = [s for s in times if s not in pilots and _near(s, pilots)]
    if not queries:
        return
    repeats = [(s, rng.integers(len(times[s]))) for s in pilots]
    step_s = np.array([times[s][i] for s, i in repeats])
    compute_s = step_s - [sync[s][i] for s, i in repeats]
    runs = np.column_stack([np.array(pilots, float), compute_s])
    truth = np.array([median(times[s]) for s in queries])
    gpus, nodes = max(s[1] for s in pilots), max(s[0] for s in pilots)
    beyond = np.array([s[1] > gpus or s[0] > nodes for s in queries])
    for method in methods:
        start = time.perf_counter()
        prediction = METHODS[method](runs, step_s, np.array(queries, float))
        method_s = time.perf_counter() - start
        point, *ends = prediction if isinstance(prediction, tuple) else (prediction,)
        error = np.abs(point / truth - 1)
        covered = (ends[0] <= truth) & (truth <= ends[1]) if ends else np.full(len(truth), np.nan)
        for part, where in (("extra", beyond), ("interp", ~beyond)):
            if where.any():
                each = (error, error <= 0.1, error <= 0.2, covered)
                values = (*(float(column[where].mean()) for column in each), method_s)
                yield Score(method, part, k, name, values)


def _near(shape: ShapeKey, pilots: list[ShapeKey]) -> bool:
    sizes = [s[3] for s in pilots]
    return min(sizes) / BATCH_FACTOR <= shape[3] <= max(sizes) * BATCH_FACTOR


def render_table(scores: list[Score]) -> list[str]:
    """Render a line of Markdown per part and method; each series has the same weight."""
    cells: dict[tuple[str, str, int], dict[str, list[tuple[float, ...]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for score in scores:
        cells[score.part, score.method, score.k][score.series].append(score.values)
    means = {key: np.mean([np.mean(v, 0) for v in by.values()], 0) for key, by in cells.items()}
    lines = []
    for column, (title, scale) in enumerate(COLUMNS.items()):
        lines += [
            f"| {title} | " + " | ".join(f"k={k}" for k in MAX_GPUS) + " |",
            "|---|" + "---|" * len(MAX_GPUS),
        ]
        for part, method in sorted({key[:2] for key in means}):
            no_score = np.full(len(COLUMNS), np.nan)
            values = [means.get((part, method, k), no_score)[column] * scale for k in MAX_GPUS]
            if not np.isnan(values).all():
                lines.append(f"| {part}, {method} | " + " | ".join(f"{v:.1f}" for v in values) + " |")
        lines.append("")
    return lines


def render_repeats(series: Series) -> str:
    """Say how often the range from one run of a shape holds the other runs of it."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for name, times in series.items():
        for shape, repeat_s in times.items():
            for one, other in permutations(repeat_s, 2):
                run = Measurement(
                    "", "", *shape, accumulation=1, precision=Precision.AUTO, seq_len=None, step_time_s=one
                )
                span = measured_range([run])
                hits[name].append(span.p10 <= other <= span.p90)
    if not hits:
        return "no shape was run twice"
    every = [hit for series_hits in hits.values() for hit in series_hits]
    each = ", ".join(f"{name} {np.mean(h):.0%} of {len(h)}" for name, h in hits.items())
    return f"run once, the range holds {np.mean(every):.0%} of {len(every)} other runs of the shape ({each})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--methods", type=lambda s: s.split(","), default=list(METHODS))
    args = parser.parse_args()
    series = read_series(args.data)
    sync = read_series(args.data, "sync_time")
    print("\n".join(render_table(evaluate(series, sync, args.methods, args.seeds))))
    print(render_repeats(series))


if __name__ == "__main__":
    main()
