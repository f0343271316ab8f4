"""Score the runs that `measure-next` advises, beside a fixed plan and the usual choice of a user.

    python benchmarks/next_run.py FILE [--seeds 8]

FILE is the `step_times.csv` of `measured_runs.py`.  Runs may use up to 8 GPUs of at most 2 nodes, and no more than half
of the largest job.  They predict every larger job whose batch is within a factor 4 of b, one of the larger half of the
batch sizes that larger jobs ran with.  All three ways begin on 1 GPU with b.  The fixed plan goes on with the widest 2
nodes at b / 3, 1 GPU at b / 3, the widest node at b, the widest 2 nodes at b and the widest node at b / 3.  The user
goes on with any shape of b, preferably small.
"""

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from measured_runs import group_by, read_traces
from protocols import BATCH_FACTOR, PILOT_NODES

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.model.predict import StepTimeModel, fit
from clusterplan.estimator.step_time.next_run import most_informative

COUNTS = (2, 3, 4, 6)
MOST_GPUS = 8

ShapeKey = tuple[int, int, int, int]  # nodes, GPUs, GPUs per node, micro-batch
StepTimes = dict[ShapeKey, list[float]]  # seconds of each repeat

ChooseNext = Callable[
    [list[ShapeKey], list[ShapeKey], StepTimeModel, list[ShapeKey], np.random.Generator], ShapeKey
]


def choose_by_plan(candidates: list[ShapeKey], runs: list[ShapeKey], *_: object) -> ShapeKey:
    """Return the next shape of the plan, or the nearest one that the series has."""
    batch = runs[0][3]
    third = min((s[3] for s in candidates), key=lambda b: abs(np.log(3 * b / batch)))
    for nodes, wide, size in (
        (2, True, third),
        (1, False, third),
        (1, True, batch),
        (2, True, batch),
        (1, True, third),
    ):
        fits = [s for s in candidates if s[0] == nodes and s[3] == size and (wide or s[1] == 1)]
        if fits:
            return max(fits, key=lambda s: s[1])
    return max(candidates, key=lambda s: s[1])


def choose_by_advice(
    candidates: list[ShapeKey], _: object, model: StepTimeModel, targets: list[ShapeKey], *__: object
) -> ShapeKey:
    """Return the shape that `measure-next` advises; among equal ones, the one with the fewest GPUs."""
    candidates = sorted(candidates, key=lambda s: s[1])
    queries = [_query(s) for s in candidates]
    return candidates[queries.index(most_informative(model, queries, [_query(s) for s in targets]))]


def choose_as_users_do(
    candidates: list[ShapeKey], runs: list[ShapeKey], _: object, __: object, rng: np.random.Generator
) -> ShapeKey:
    """Return a shape with batch b; few GPUs are likelier."""
    alike = [s for s in candidates if s[3] == runs[0][3]] or candidates
    weight = np.array([1 / s[1] for s in alike])
    return alike[rng.choice(len(alike), p=weight / weight.sum())]


WAYS: dict[str, ChooseNext] = {
    "fixed plan": choose_by_plan,
    "measure-next": choose_by_advice,
    "small ones": choose_as_users_do,
}


def errors_by_count(times: StepTimes, choose: ChooseNext, rng: np.random.Generator) -> dict[int, float]:
    """Return the mean absolute error of the larger jobs, as a share, by the number of runs."""
    most = min(MOST_GPUS, max(s[1] for s in times) // 2)
    pool = [s for s in times if s[1] <= most and s[0] <= PILOT_NODES]
    larger = [s for s in times if s not in pool]
    sizes = sorted({s[3] for s in larger if (1, 1, 1, s[3]) in times})
    batch = int(rng.choice(sizes[len(sizes) // 2 :]))
    targets = [s for s in larger if batch / BATCH_FACTOR <= s[3] <= batch * BATCH_FACTOR]
    shapes, runs, errors = list[ShapeKey](), list[Measurement](), dict[int, float]()
    shape = (1, 1, 1, batch)
    truth = np.array([median(times[s]) for s in targets])
    while True:
        shapes.append(shape)
        step_s = float(rng.choice(times[shape]))
        runs.append(Measurement("", "", *shape, 1, Precision.AUTO, None, step_s))
        model = fit(runs)
        if len(runs) in COUNTS:
            predictions = [p.step_time_s.p50 for p in model.predict([_query(s) for s in targets])]
            errors[len(runs)] = float(np.mean(np.abs(predictions / truth - 1)))
        candidates = [s for s in pool if s not in shapes]
        if len(runs) == max(COUNTS) or not candidates:
            return errors
        shape = choose(candidates, shapes, model, targets, rng)


def read_series(path: Path) -> dict[str, StepTimes]:
    """Read the repeats of each shape, by series."""
    return {
        name: {
            shape: [r.step_time_s for r in repeats]
            for shape, repeats in sorted(
                group_by(runs, lambda r: (r.nodes, r.gpus, r.gpus_per_node, r.batch_size)).items()
            )
        }
        for name, runs in group_by(read_traces(path), lambda r: r.series.removeprefix(f"{r.source}/")).items()
    }


def _query(shape: ShapeKey) -> Shape:
    return Shape("", *shape)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    series = read_series(args.file)
    print("| MAPE % | " + " | ".join(f"k={k}" for k in COUNTS) + " |")
    print("|---|" + "---|" * len(COUNTS))
    for name, choose in WAYS.items():
        every = [
            [
                errors_by_count(
                    times, choose, np.random.default_rng(zlib.crc32(repr((series_name, seed)).encode()))
                )
                for seed in range(args.seeds)
            ]
            for series_name, times in series.items()
        ]
        means = [np.mean([np.mean([e[k] for e in seeds if k in e]) for seeds in every]) for k in COUNTS]
        print(f"| {name} | " + " | ".join(f"{100 * m:.1f}" for m in means) + " |")


if __name__ == "__main__":
    main()
