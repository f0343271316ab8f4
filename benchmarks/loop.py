"""The loop closed: how good estimates are before any run, after a calibration, and after 1, 3 and 10 runs.

    python benchmarks/loop.py [--loops 200] [--seed 1]

Each loop is one user with one model on one site, both drawn anew.  Runs are made up by `simulated_training`, whose step
time is known in closed form, and written as run folders by `simulated_runs`; the collector reads them into a history,
and the estimate reads that.  Only the estimator, the collector and the history are clusterplan's.

The first run is in half of the target's GPUs or in the target, the second in the target, and all others in the target
or in a neighbour of it: twice or half its GPUs, or its micro-batch.  Data differ by up to a factor of four.  Each run
asks for the walltime of its estimate; one that needs more ends there.  Beside it is a habit, "the longest so far times
1.5": by 1.5 torc lengthens a job that met its limit (github.com/NREL/torc, `torc watch --recover`).
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from loop_tally import AFTER, Tally, report
from simulated_training import (
    Layout,
    draw_factors,
    run_step_s,
)
from simulated_user import GPUS_PER_NODE, Loop, draw_loop, neighbours

from clusterplan.api.history.history import History
from clusterplan.estimator.estimate.estimate import estimate_workload
from clusterplan.launcher.calibration.plan import NARROW, plan_probe

RUNS = 10
BUDGET_GPU_S = 3600.0


def calibrated(loop: Loop, tally: Tally) -> None:
    """Ask for the target before anything was run, and again after the probes of `clusterplan calibrate`."""
    history_path = loop.folder / "calibration" / "history.db"
    workload, left_s, done = loop.workload(loop.target), BUDGET_GPU_S, list[Layout]()
    truth = run_step_s(loop.site, loop.network, loop.target, draw_factors(loop.site, loop.rng))
    with History(history_path) as history:
        while True:
            estimate = loop.ask(workload, history)
            if not done:
                tally.add("before any run", "target", estimate, truth)
            step = estimate.step_time.seconds
            if done and step and step.p90 < NARROW * step.p10:
                break
            plan = plan_probe(estimate, history.measurements("m"), loop.profile, left_gpu_s=left_s)
            if plan is None:
                break
            shape = plan.shape
            layout = Layout(shape.gpus, shape.nodes, shape.batch_size, shape.accumulation)
            probe = estimate_workload(plan.workload, loop.profile)
            left_s -= shape.gpus * min(plan.most_s, loop.probe(layout, probe, history))
            done.append(layout)
        tally.add("after a calibration", "target", estimate, truth)


def one_loop(loop: Loop, tally: Tally) -> None:
    calibrated(loop, tally)
    rng, ran, longest_s = loop.rng, list[Layout](), 0.0
    around = neighbours(loop.target)
    with History(loop.folder / "history.db") as history:
        for number in range(RUNS + 1):
            if number in AFTER:
                stage = f"after {number} run{'s' * (number > 1)}"
                fresh = [layout for layout in around if layout not in ran]
                for shape, layouts in (("run before", list(dict.fromkeys(ran))), ("never run", fresh)):
                    if layouts:
                        layout = rng.choice(layouts)
                        actual = run_step_s(loop.site, loop.network, layout, draw_factors(loop.site, rng))
                        estimate = loop.ask(loop.workload(layout), history)
                        tally.add(stage, shape, estimate, actual)
                        if shape == "never run":
                            tally.add(stage, f"with {_difference(layout, loop.target)}", estimate, actual)
            if number == RUNS:
                break
            layout = _next_layout(loop, number, around)
            estimate = loop.ask(loop.workload(layout, rng.choice((0.5, 1.0, 1.0, 2.0))), history)
            asked_s = estimate.clock.request_s
            limit_s = asked_s * (estimate.clock.segments or 1) if asked_s else None
            needed_s = loop.run(layout, estimate, history, limit_s)
            if number >= 3 and limit_s:
                for name, seconds in (("estimate", float(limit_s)), ("longest x 1.5", 1.5 * longest_s)):
                    tally.walltimes[name].ratios.append(seconds / needed_s)
                    tally.walltimes[name].enough.append(seconds >= needed_s)
            longest_s = max(longest_s, needed_s)
            ran.append(layout)
        tally.runs += history.scored_runs()


def _difference(layout: Layout, target: Layout) -> str:
    """In what a neighbour of the target differs from it; the target itself may be new too."""
    for what, ours, targets in (
        ("the GPUs", layout.gpus, target.gpus),
        ("the micro-batch", layout.batch_size, target.batch_size),
    ):
        if ours != targets:
            return f"{'twice' if ours > targets else 'half'} {what}"
    return "nothing else"


def _next_layout(loop: Loop, number: int, around: Sequence[Layout]) -> Layout:
    half = replace(loop.target, gpus=loop.target.gpus // 2, nodes=-(-loop.target.gpus // 2 // GPUS_PER_NODE))
    if number == 0:
        return loop.rng.choice((half, loop.target))
    return loop.target if number == 1 or loop.rng.random() < 0.6 else loop.rng.choice(around)


def _run_loop(seed: str) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "calibration").mkdir()
        one_loop(draw_loop(random.Random(seed), Path(scratch)), tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    tally, began_s = Tally(), time.perf_counter()
    seeds = [f"{arguments.seed}.{number}" for number in range(arguments.loops)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for number, of_loop in enumerate(pool.map(_run_loop, seeds), 1):
            tally.merge(of_loop)
            if sys.stderr.isatty():
                print(f"\rloop {number} of {arguments.loops}", end="", file=sys.stderr)
    print(f"{arguments.loops} loops in {time.perf_counter() - began_s:.0f} s\n")
    for line in report(tally):
        print(line)


if __name__ == "__main__":
    main()
