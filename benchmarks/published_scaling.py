"""How well published training throughput on more GPUs is told from that on fewer, beside perfect scaling.

    python benchmarks/published_scaling.py --data FILE

FILE is a CSV with the columns source, model, gpu, precision, seq_len (tokens), n_gpus, micro_batch (per GPU),
global_batch, tokens_per_s_per_gpu and parallelism; rows whose parallelism names pipeline or tensor stages are left
out.  Of a model, GPU, precision and length, the rows of each GPU count are given, and those of each larger one asked.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.predict import fit

A_NODE = 8  # GPUs of the machines that FILE was measured on
FACTORS = ((2, 4), (5, 16), (17, 64))

Row = tuple[int, int, int, float]  # GPUs, micro-batch, accumulation, seconds a step


def read(path: Path) -> list[list[Row]]:
    """The rows of each model, GPU, precision and sequence length."""
    found: dict[tuple, set[Row]] = defaultdict(set)
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if "=" in row["parallelism"] or not row["tokens_per_s_per_gpu"]:
                continue
            gpus, batch, whole, length = (
                int(float(row[name])) for name in ("n_gpus", "micro_batch", "global_batch", "seq_len")
            )
            accumulation = max(round(whole / (gpus * batch)), 1)
            step_s = accumulation * batch * length / float(row["tokens_per_s_per_gpu"])
            kind = tuple(row[name] for name in ("source", "model", "gpu", "precision", "seq_len"))
            found[kind].add((gpus, batch, accumulation, step_s))
    return [sorted(rows) for rows in found.values()]


def shape(row: Row) -> tuple[int, int, int, int]:
    """Nodes, GPUs, GPUs of a node, micro-batch."""
    return max(row[0] // A_NODE, 1), row[0], min(row[0], A_NODE), row[1]


def scores(kind: list[Row]) -> list[tuple[float, ...]]:
    """Of each count told from each smaller: the factor between them, our error and that of perfect scaling, whether
    our range holds it.
    """
    found = []
    for few in sorted({row[0] for row in kind}):
        given, asked = [r for r in kind if r[0] == few], [r for r in kind if r[0] > few]
        if not asked:
            continue
        runs = [
            Measurement("", "", *shape(r), r[2], Precision.AUTO, seq_len=None, step_time_s=r[3])
            for r in given
        ]
        told = fit(runs).predict([Shape("", *shape(r), r[2]) for r in asked])
        each = np.median([r[3] / (r[1] * r[2]) for r in given])
        for (gpus, batch, accumulation, step_s), said in zip(asked, told, strict=True):
            ours, perfect = said.step_time_s.p50 / step_s - 1, each * batch * accumulation / step_s - 1
            inside = said.step_time_s.p10 <= step_s <= said.step_time_s.p90
            found.append((gpus / few, abs(ours), abs(perfect), inside))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    kinds = read(parser.parse_args().data)
    table = np.array([score for kind in kinds for score in scores(kind)], float)
    print(
        "| so many times the GPUs | rows | MAPE % | perfect scaling | range holds % |\n|---|---|---|---|---|"
    )
    for low, high in (*FACTORS, (FACTORS[0][0], FACTORS[-1][1])):
        some = table[(table[:, 0] >= low) & (table[:, 0] <= high)]
        ours, perfect, inside = 100 * some[:, 1:].mean(0)
        print(f"| {low} to {high} | {len(some)} | {ours:.1f} | {perfect:.1f} | {inside:.0f} |")


if __name__ == "__main__":
    main()
