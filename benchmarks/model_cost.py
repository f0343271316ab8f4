"""Time the step-time model: a fit to 8 runs with 10 shapes, 1,000 shapes, and its import beside that of numpy.

    python benchmarks/model_cost.py [--rounds 15]

Times are medians of CPU time, in which other work on the machine matters least.  Imports are those of new processes in
turn, the start of Python included.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.step_time.model.predict import fit

IMPORTS = {"numpy": "import numpy", "the model": "import clusterplan.estimator.step_time.model.predict"}
NODE_GPUS = 8


def runs() -> list[Measurement]:
    """Return 8 runs on 1 to 16 GPUs at two micro-batches."""
    return [
        Measurement(
            "m",
            "a100-sxm4-80gb",
            nodes=max(gpus // NODE_GPUS, 1),
            gpus=gpus,
            gpus_per_node=min(gpus, NODE_GPUS),
            batch_size=batch_size,
            accumulation=1,
            precision=Precision.BF16,
            seq_len=None,
            step_time_s=0.02 + 0.01 * batch_size * (1 + 0.02 * gpus),
        )
        for gpus in (1, 2, 8, 16)
        for batch_size in (8, 32)
    ]


def shapes(n: int) -> list[Shape]:
    """Return n different shapes on up to 128 GPUs."""
    return [
        Shape(
            "a100-sxm4-80gb",
            nodes := 1 + i % 16,
            nodes * NODE_GPUS,
            NODE_GPUS,
            1 + i // 16,
            precision=Precision.BF16,
        )
        for i in range(n)
    ]


def predict_many(n: int) -> None:
    """Fit to the runs, and predict n shapes."""
    fit(runs()).predict(shapes(n))


def cpu_s(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, with that of the processes that it waits for."""

    def spent_s() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    start = spent_s()
    call()
    return spent_s() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for n in (10, 1000):
        spent = [cpu_s(partial(predict_many, n)) for _ in range(rounds + 1)]
        print(f"fit to 8 runs and {n:,} shapes: {1e3 * median(spent[1:]):.1f} ms")
    imports: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for turn in range(rounds + 1):  # the first fills the page cache and writes .pyc
        for name, statement in IMPORTS.items():
            spent_s = cpu_s(partial(subprocess.run, [sys.executable, "-c", statement], check=True))
            if turn:
                imports[name].append(spent_s)
    numpy_s, model_s = (median(times) for times in imports.values())
    print(
        f"import: {1e3 * model_s:.0f} ms, {model_s / numpy_s:.2f} times that of numpy ({1e3 * numpy_s:.0f} ms)"
    )


if __name__ == "__main__":
    main()
