"""Time `track` in a training loop: as a ratio to the bare loop, and in microseconds per step.

    python benchmarks/tracker_cost.py [--steps 2000] [--rounds 5]

The body of the loop computes for 1 ms, a fast step.  The two loops take turns, and the median round counts.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from clusterplan import track

BODY_S = 0.001


@contextmanager
def run_folder() -> Iterator[None]:
    """Make `track` write, as it does in a job."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLUSTERPLAN_RUN_FOLDER"] = folder
        try:
            yield
        finally:
            del os.environ["CLUSTERPLAN_RUN_FOLDER"]


def loop_s(items: Iterable[int], body_s: float) -> float:
    """Loop over items and compute for body_s in each; return the seconds of the loop."""
    start = time.perf_counter()
    for _ in items:
        end = time.perf_counter() + body_s
        while body_s and time.perf_counter() < end:
            pass
    return time.perf_counter() - start


def median_s(once: Callable[[], float], rounds: int) -> float:
    """Return the median of several rounds."""
    return statistics.median(once() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    steps = range(arguments.steps)
    with run_folder():
        pairs = [(loop_s(track(steps), BODY_S), loop_s(steps, BODY_S)) for _ in range(arguments.rounds)]
        ratio = statistics.median(tracked / bare for tracked, bare in pairs)
        empty = range(100 * arguments.steps)
        bare = median_s(lambda: loop_s(empty, 0), arguments.rounds)
        inside = median_s(lambda: loop_s(track(empty), 0), arguments.rounds)
    outside = median_s(lambda: loop_s(track(empty), 0), arguments.rounds)
    print(f"a loop of 1 ms steps with track: x{ratio:.4f} of the bare loop")
    print(f"in a job:      {(inside - bare) / len(empty) * 1e6:.2f} us per step, lines written included")
    print(f"outside a job: {(outside - bare) / len(empty) * 1e6:.2f} us per step")


if __name__ == "__main__":
    main()
