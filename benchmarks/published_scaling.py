"""Score predictions of published training throughput on more GPUs from that on fewer, beside perfect scaling.

    python benchmarks/published_scaling.py --data FILE

FILE is a CSV with the columns source, model, gpu, precision, seq_len (tokens), n_gpus, micro_batch (per GPU),
global_batch, tokens_per_s_per_gpu and parallelism.  Rows whose parallelism names pipeline or tensor stages are left
out.  For each model, GPU, precision and length, the rows of each GPU count predict those of every larger count.
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

GPUS_PER_NODE = 8  # of the machines that FILE was measured on
FACTORS = ((2, 4), (5, 16), (17, 64))

Row = tuple[int, int, int, float]  # GPUs, micro-batch, accumulation, seconds per step


def read_rows(path: Path) -> list[list[Row]]:
    """Read the rows of each model, GPU, precision and sequence length."""
    kinds: dict[tuple[str, ...], set[Row]] = defaultdict(set)
    with path.open(newline="") as rows:
        for row in csv.DictReader(rows):
            if "=" in row["parallelism"] or not row["tokens_per_s_per_gpu"]:
                continue
            gpus, batch, global_batch, length = (
                int(float(row[name])) for name in ("n_gpus", "micro_batch", "global_batch", "seq_len")
            )
            accumulation = max(round(global_batch / (gpus * batch)), 1)
            step_s = accumulation * batch * length / float(row["tokens_per_s_per_gpu"])
            kind = tuple(row[name] for name in ("source", "model", "gpu", "precision", "seq_len"))
            kinds[kind].add((gpus, batch, accumulation, step_s))
    return [sorted(rows) for rows in kinds.values()]


def shape_numbers(row: Row) -> tuple[int, int, int, int]:
    """Return nodes, GPUs, GPUs per node and micro-batch."""
    return max(row[0] // GPUS_PER_NODE, 1), row[0], min(row[0], GPUS_PER_NODE), row[1]


def scores(kind: list[Row]) -> list[tuple[float, ...]]:
    """Score each GPU count as predicted from each smaller one.

    Returns the factor between the two counts, our error, the error of perfect scaling, and whether our range holds.
    """
    results: list[tuple[float, ...]] = []
    for few in sorted({row[0] for row in kind}):
        observations, queries = [r for r in kind if r[0] == few], [r for r in kind if r[0] > few]
        if not queries:
            continue
        runs = [
            Measurement("", "", *shape_numbers(r), r[2], Precision.AUTO, seq_len=None, step_time_s=r[3])
            for r in observations
        ]
        predictions = fit(runs).predict([Shape("", *shape_numbers(r), r[2]) for r in queries])
        sample_s = np.median([r[3] / (r[1] * r[2]) for r in observations])
        for (gpus, batch, accumulation, step_s), prediction in zip(queries, predictions, strict=True):
            ours, perfect = (
                prediction.step_time_s.p50 / step_s - 1,
                sample_s * batch * accumulation / step_s - 1,
            )
            inside = prediction.step_time_s.p10 <= step_s <= prediction.step_time_s.p90
            results.append((gpus / few, abs(ours), abs(perfect), inside))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    kinds = read_rows(parser.parse_args().data)
    table = np.array([score for kind in kinds for score in scores(kind)], float)
    print("| times the GPUs | rows | MAPE % | perfect scaling | range holds % |\n|---|---|---|---|---|")
    for low, high in (*FACTORS, (FACTORS[0][0], FACTORS[-1][1])):
        some = table[(table[:, 0] >= low) & (table[:, 0] <= high)]
        ours, perfect, inside = 100 * some[:, 1:].mean(0)
        print(f"| {low} to {high} | {len(some)} | {ours:.1f} | {perfect:.1f} | {inside:.0f} |")


if __name__ == "__main__":
    main()
