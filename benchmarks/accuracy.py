"""How well step times are predicted from a few runs: ours beside linear scaling, Amdahl, Ernest and Pollux.

    python benchmarks/accuracy.py --data FILE [--seeds 4] [--methods clusterplan,ernest]

FILE is a CSV of measured step times with the columns series, model, gpu, num_nodes, num_gpus, gpus_per_node,
local_bsz (per GPU) and step_time (s), and of sync_time if Pollux's own code, the package adaptdl, is there to
be told it; a series is one model on one cluster.  An episode gives k runs such as a
user makes first: one GPU first, few batch sizes, at most 4 GPUs (8 from k = 8) on at most 2 nodes and never
more than half of the largest job.  It asks for every other configuration within a factor 4 of the batches seen:
`extra` has more GPUs or nodes than any run, `interp` is the rest.  Each series counts once.
"""

import argparse
import csv
import importlib.util
import time
import zlib
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from statistics import median

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


def predict(observations: list[dict], queries: list[dict]) -> list[dict]:
    """The product's own path, for programs that hand in rows and want step_time, lo80, hi80."""
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


def _numbers(row: dict) -> ShapeKey:
    return int(row["num_nodes"]), int(row["num_gpus"]), int(row["gpus_per_node"]), int(row["local_bsz"])


def ours(runs: np.ndarray, times: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P50, P10 and P90."""
    keys = ("num_nodes", "num_gpus", "gpus_per_node", "local_bsz")
    seen = [
        dict(zip(keys, row, strict=True), model="", gpu="", step_time=t)
        for row, t in zip(runs[:, :4], times, strict=True)
    ]
    told = predict(seen, [dict(zip(keys, row, strict=True), gpu="") for row in asked])
    point, low, high = np.array([list(t.values()) for t in told]).T
    return point, low, high


METHODS = {
    "linear": rivals.linear,
    "amdahl": rivals.amdahl,
    "ernest": rivals.ernest,
    "pollux": rivals.pollux,
    "clusterplan": ours,
} | ({"adaptdl": rivals.adaptdl} if importlib.util.find_spec("adaptdl") else {})


def read(path: Path, column: str = "step_time") -> dict[str, dict[ShapeKey, list[float]]]:
    series: dict[str, dict[ShapeKey, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            series[row["series"]][_numbers(row)].append(float(row.get(column) or 0))
    return {name: dict(sorted(times.items())) for name, times in series.items()}


def pilot_runs(
    name: str, shapes: list[ShapeKey], k: int, seed: int
) -> tuple[list[ShapeKey], np.random.Generator]:
    """The k shapes a user measures first."""
    rng = np.random.default_rng(zlib.crc32(repr(("pilot", name, k, seed)).encode()))
    gpus = min(MAX_GPUS[k], max(max(s[1] for s in shapes) // 2, 1))
    nodes = 1 if k <= 2 else MOST_NODES
    sizes = sorted({s[3] for s in shapes})
    wanted = min(BATCH_SIZES[k], len(sizes))
    upper = sizes[len(sizes) // 4 :]  # people start near what fits
    order = [int(b) for b in rng.permutation(upper if len(upper) >= wanted else sizes)]
    order += [int(b) for b in rng.permutation([b for b in sizes if b not in order])]
    while True:
        pool = [s for s in shapes if s[3] in order[:wanted] and s[1] <= gpus and s[0] <= nodes]
        if len(pool) >= k or wanted >= len(order):
            break
        wanted += 1
    single = [s for s in pool if s[1] == 1] or [s for s in shapes if s[1] == 1]
    chosen = [single[rng.integers(len(single))]]
    rest = [s for s in pool if s not in chosen]
    weight = np.array([1 / s[1] for s in rest])
    more = min(k - 1, len(rest))
    if more:
        chosen += [rest[i] for i in rng.choice(len(rest), more, replace=False, p=weight / weight.sum())]
    across = [s for s in pool if s[0] > 1]
    if k >= 4 and seed % 2 == 0 and across and not any(s[0] > 1 for s in chosen):
        chosen[-1] = across[rng.integers(len(across))]
    return chosen, rng


def evaluate(
    series: dict[str, dict[ShapeKey, list[float]]],
    sync: dict[str, dict[ShapeKey, list[float]]],
    methods: list[str],
    seeds: int,
) -> list[dict]:
    rows = []
    for name, times in series.items():
        for k in MAX_GPUS:
            for seed in range(seeds):
                chosen, rng = pilot_runs(name, list(times), k, seed)
                asked = [s for s in times if s not in chosen and _near(s, chosen)]
                if not asked:
                    continue
                picked = [(s, rng.integers(len(times[s]))) for s in chosen]
                measured = np.array([times[s][i] for s, i in picked])
                alone = measured - [sync[name][s][i] for s, i in picked]
                runs = np.column_stack([np.array(chosen, float), alone])
                truth = np.array([median(times[s]) for s in asked])
                gpus, nodes = max(s[1] for s in chosen), max(s[0] for s in chosen)
                beyond = np.array([s[1] > gpus or s[0] > nodes for s in asked])
                for method in methods:
                    start = time.perf_counter()
                    told = METHODS[method](runs, measured, np.array(asked, float))
                    took = time.perf_counter() - start
                    point, *ends = told if isinstance(told, tuple) else (told,)
                    error = np.abs(point / truth - 1)
                    covered = (ends[0] <= truth) & (truth <= ends[1]) if ends else np.full(len(truth), np.nan)
                    for part, where in (("extra", beyond), ("interp", ~beyond)):
                        if where.any():
                            scores = (
                                error[where].mean(),
                                (error[where] <= 0.1).mean(),
                                (error[where] <= 0.2).mean(),
                                covered[where].mean(),
                            )
                            rows.append(
                                {
                                    "method": method,
                                    "part": part,
                                    "k": k,
                                    "series": name,
                                    "scores": (*scores, took),
                                }
                            )
    return rows


def _near(shape: ShapeKey, chosen: list[ShapeKey]) -> bool:
    sizes = [s[3] for s in chosen]
    return min(sizes) / BATCH_FACTOR <= shape[3] <= max(sizes) * BATCH_FACTOR


def table(rows: list[dict]) -> list[str]:
    """A line of Markdown for each part and method, of all series alike."""
    cells: dict[tuple, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["part"], row["method"], row["k"]][row["series"]].append(row["scores"])
    mean = {key: np.mean([np.mean(s, 0) for s in by.values()], 0) for key, by in cells.items()}
    lines = []
    for title, column, scale in (
        ("MAPE %", 0, 100),
        ("within 10 %", 1, 100),
        ("within 20 %", 2, 100),
        ("80 % interval covers %", 3, 100),
        ("ms a prediction", 4, 1000),
    ):
        lines += [
            f"| {title} | " + " | ".join(f"k={k}" for k in MAX_GPUS) + " |",
            "|---|" + "---|" * len(MAX_GPUS),
        ]
        for part, method in sorted({key[:2] for key in mean}):
            values = [mean.get((part, method, k), np.full(5, np.nan))[column] * scale for k in MAX_GPUS]
            if not np.isnan(values).all():
                lines.append(f"| {part}, {method} | " + " | ".join(f"{v:.1f}" for v in values) + " |")
        lines.append("")
    return lines


def repeats(series: dict[str, dict[ShapeKey, list[float]]]) -> str:
    """Whether the range that one run of a shape gives holds the other runs of it."""
    held: dict[str, list[bool]] = defaultdict(list)
    for name, times in series.items():
        for shape, repeated in times.items():
            for one, other in permutations(repeated, 2):
                run = Measurement(
                    "", "", *shape, accumulation=1, precision=Precision.AUTO, seq_len=None, step_time_s=one
                )
                told = measured_range([run])
                held[name].append(told.p10 <= other <= told.p90)
    if not held:
        return "no shape was run twice"
    of_all = [ok for oks in held.values() for ok in oks]
    each = ", ".join(f"{name} {np.mean(oks):.0%} of {len(oks)}" for name, oks in held.items())
    return (
        f"run once, the range holds {np.mean(of_all):.0%} of {len(of_all)} other runs of the shape ({each})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--methods", type=lambda s: s.split(","), default=list(METHODS))
    args = parser.parse_args()
    series = read(args.data)
    sync = read(args.data, "sync_time")
    print("\n".join(table(evaluate(series, sync, args.methods, args.seeds))))
    print(repeats(series))


if __name__ == "__main__":
    main()
