"""How well the runs that `next_measurement` asks for tell larger jobs, beside a fixed plan and a user's own choice.

    python benchmarks/next_run.py --data FILE [--seeds 8]

FILE is that of `accuracy.py`.  Runs may use up to 8 GPUs of at most 2 nodes, and no more than half of the largest
job; asked is every job beyond that within a factor 4 of b,
one of the larger half of the batches that such jobs were run with.  All begin on 1 GPU with b.
The fixed plan goes on with the widest 2 nodes at b / 3, 1 GPU at b / 3, the widest node at b, the widest 2 nodes
at b and the widest node at b / 3; the user with any shape of b, preferably small.
"""

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from accuracy import BATCH_FACTOR, MOST_NODES, ShapeKey, read

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.next_run import most_informative
from clusterplan.estimator.step_time.predict import StepTimeModel, fit

COUNTS = (2, 3, 4, 6)
MOST_GPUS = 8

Next = Callable[
    [list[ShapeKey], list[ShapeKey], StepTimeModel, list[ShapeKey], np.random.Generator], ShapeKey
]


def planned(left: list[ShapeKey], made: list[ShapeKey], *_: object) -> ShapeKey:
    """The first of the plan that is not made; shapes as near as the series has them."""
    batch = made[0][3]
    third = min((s[3] for s in left), key=lambda b: abs(np.log(3 * b / batch)))
    for nodes, wide, size in (
        (2, True, third),
        (1, False, third),
        (1, True, batch),
        (2, True, batch),
        (1, True, third),
    ):
        fits = [s for s in left if s[0] == nodes and s[3] == size and (wide or s[1] == 1)]
        if fits:
            return max(fits, key=lambda s: s[1])
    return max(left, key=lambda s: s[1])


def asked_for(
    left: list[ShapeKey], _: object, model: StepTimeModel, wanted: list[ShapeKey], *__: object
) -> ShapeKey:
    """What the product asks for; of like use the fewest GPUs."""
    left = sorted(left, key=lambda s: s[1])
    queries = [_query(s) for s in left]
    return left[queries.index(most_informative(model, queries, [_query(s) for s in wanted]))]


def usual(
    left: list[ShapeKey], made: list[ShapeKey], _: object, __: object, rng: np.random.Generator
) -> ShapeKey:
    """One of b, fewer GPUs likelier."""
    alike = [s for s in left if s[3] == made[0][3]] or left
    weight = np.array([1 / s[1] for s in alike])
    return alike[rng.choice(len(alike), p=weight / weight.sum())]


WAYS: dict[str, Next] = {"fixed plan": planned, "next_measurement": asked_for, "small ones": usual}


def errors(times: dict[ShapeKey, list[float]], way: Next, rng: np.random.Generator) -> dict[int, float]:
    """The mean absolute percentage error beyond the runs, by their count."""
    most = min(MOST_GPUS, max(s[1] for s in times) // 2)
    pool = [s for s in times if s[1] <= most and s[0] <= MOST_NODES]
    larger = [s for s in times if s not in pool]
    sizes = sorted({s[3] for s in larger if (1, 1, 1, s[3]) in times})
    batch = int(rng.choice(sizes[len(sizes) // 2 :]))
    wanted = [s for s in larger if batch / BATCH_FACTOR <= s[3] <= batch * BATCH_FACTOR]
    made, runs, found = list[ShapeKey](), list[Measurement](), dict[int, float]()
    shape = (1, 1, 1, batch)
    truth = np.array([median(times[s]) for s in wanted])
    while True:
        made.append(shape)
        t = float(rng.choice(times[shape]))
        runs.append(Measurement("", "", *shape, 1, Precision.AUTO, None, t))
        model = fit(runs)
        if len(runs) in COUNTS:
            told = [p.step_time_s.p50 for p in model.predict([_query(s) for s in wanted])]
            found[len(runs)] = float(np.mean(np.abs(told / truth - 1)))
        left = [s for s in pool if s not in made]
        if len(runs) == max(COUNTS) or not left:
            return found
        shape = way(left, made, model, wanted, rng)


def _query(shape: ShapeKey) -> Shape:
    return Shape("", *shape)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    series = read(args.data)
    print("| MAPE % | " + " | ".join(f"k={k}" for k in COUNTS) + " |")
    print("|---|" + "---|" * len(COUNTS))
    for name, way in WAYS.items():
        every = [
            [
                errors(times, way, np.random.default_rng(zlib.crc32(repr((who, seed)).encode())))
                for seed in range(args.seeds)
            ]
            for who, times in series.items()
        ]
        means = [np.mean([np.mean([e[k] for e in seeds if k in e]) for seeds in every]) for k in COUNTS]
        print(f"| {name} | " + " | ".join(f"{100 * m:.1f}" for m in means) + " |")


if __name__ == "__main__":
    main()
