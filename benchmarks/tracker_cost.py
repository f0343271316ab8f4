"""What `track` costs a training loop: beside the bare loop, and microseconds a step by itself.

    python benchmarks/tracker_cost.py [--steps 2000] [--rounds 5]

The body of the loop computes for 1 ms, a fast step; the two loops take turns and the median round counts.
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
def in_a_job() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLUSTERPLAN_RUN_FOLDER"] = folder
        try:
            yield
        finally:
            del os.environ["CLUSTERPLAN_RUN_FOLDER"]


def seconds(items: Iterable[int], body_s: float) -> float:
    began = time.perf_counter()
    for _ in items:
        end = time.perf_counter() + body_s
        while body_s and time.perf_counter() < end:
            pass
    return time.perf_counter() - began


def median(once: Callable[[], float], rounds: int) -> float:
    return statistics.median(once() for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    steps = range(given.steps)
    with in_a_job():
        pairs = [(seconds(track(steps), BODY_S), seconds(steps, BODY_S)) for _ in range(given.rounds)]
        ratio = statistics.median(tracked / bare for tracked, bare in pairs)
        empty = range(100 * given.steps)
        bare = median(lambda: seconds(empty, 0), given.rounds)
        inside = median(lambda: seconds(track(empty), 0), given.rounds)
    outside = median(lambda: seconds(track(empty), 0), given.rounds)
    print(f"a loop of 1 ms steps with track: x{ratio:.4f} of the bare loop")
    print(f"in a job:      {(inside - bare) / len(empty) * 1e6:.2f} us a step, lines written included")
    print(f"outside a job: {(outside - bare) / len(empty) * 1e6:.2f} us a step")


if __name__ == "__main__":
    main()
