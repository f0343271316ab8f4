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
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from simulated_runs import Course, write_ended, write_submitted
from simulated_training import (
    Layout,
    Network,
    RunFactors,
    Site,
    compute_s,
    draw_factors,
    draw_network,
    draw_site,
    run_step_s,
    waits_s,
)

from clusterplan.api.history.history import History, collect
from clusterplan.cluster_profiles.catalog import load_profile
from clusterplan.cluster_profiles.profile import ClusterProfile
from clusterplan.estimator.accuracy.accuracy import Score, score_estimates, score_forecasts
from clusterplan.estimator.accuracy.scored_run import ScoredRun
from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.estimate.intervals import interval_steps
from clusterplan.estimator.gpu_use.forecast import Forecast
from clusterplan.estimator.job.workload import Workload
from clusterplan.launcher.calibration.plan import NARROW, plan_probe

RUNS, T0, GPUS_PER_NODE = 10, 1_763_900_000.0, 8
AFTER = (1, 3, 10)
BUDGET_GPU_S = 3600.0
PROBE_STEPS = 25
COMMAND = ("python", "train.py", "--batch-size", "{batch_size}", "--output", "{output}")


@dataclass
class Walltimes:
    """Of runs after the third: asked over used, and whether it was enough, by the estimate and by the habit."""

    ratios: list[float] = field(default_factory=list)
    enough: list[bool] = field(default_factory=list)


@dataclass
class Tally:
    """Forecasts of step times by the stage of the loop and whether the shape was run before, and the walltimes."""

    forecasts: dict[tuple[str, str], list[Forecast]] = field(default_factory=dict)
    walltimes: dict[str, Walltimes] = field(
        default_factory=lambda: {"estimate": Walltimes(), "longest x 1.5": Walltimes()}
    )
    runs: list[ScoredRun] = field(default_factory=list)

    def add(self, stage: str, shape: str, estimate: Estimate, actual_s: float) -> None:
        if step := estimate.step_time.seconds:
            forecast = Forecast("step time", step, actual_s)
            self.forecasts.setdefault((stage, shape), []).append(forecast)

    def merge(self, other: "Tally") -> None:
        for key, forecasts in other.forecasts.items():
            self.forecasts.setdefault(key, []).extend(forecasts)
        for name, walltimes in other.walltimes.items():
            self.walltimes[name].ratios += walltimes.ratios
            self.walltimes[name].enough += walltimes.enough
        self.runs += other.runs


@dataclass
class Loop:
    """One user: a site, a model, and the history in `folder`."""

    site: Site
    network: Network
    target: Layout
    hours: float
    rng: random.Random
    profile: ClusterProfile | None
    folder: Path
    now_s: float = T0

    def workload(self, layout: Layout, share: float = 1.0) -> Workload:
        """The job as its user states it, with this share of the data of the target."""
        step_s = run_step_s(self.site, self.network, self.target, RunFactors(1, 1, 1))
        steps = max(self.hours * 3600 / step_s, 200)
        samples = round(steps * self.target.batch_size * self.target.gpus * self.target.accumulation * share)
        steps_here = samples / (layout.batch_size * layout.gpus * layout.accumulation)
        return Workload.model_validate(
            {
                "model": "m",
                "data": {"samples": samples, "seq_len": self.network.seq_len},
                "training": {
                    "batch_size": layout.batch_size,
                    "accumulation": layout.accumulation,
                    "gpus": layout.gpus,
                    "precision": "bf16",
                    "zero_stage": self.network.zero_stage,
                },
                "architecture": {"parameters": round(self.network.parameters)},
                "cluster": {"gpu": self.site.gpu, "nodes": layout.nodes},
                "evaluation": {"every_steps": max(round(steps_here / 10), 1)},
                "checkpoint": {"every_steps": max(round(steps_here / 5), 1)},
                "run": {"command": COMMAND},
            }
        )

    def ask(self, workload: Workload, history: History) -> Estimate:
        """The estimate by what the history knows."""
        now = datetime.fromtimestamp(self.now_s, UTC)
        return estimate_workload(workload, self.profile, history.measurements("m"), now)

    def run(
        self, layout: Layout, estimate: Estimate, history: History, limit_s: float | None = None
    ) -> float:
        """Let a run take its course, and collect it; return the seconds that it needs to its end."""
        factors = draw_factors(self.site, self.rng)
        course = self.course(layout, estimate, factors)
        needed_s = _length_s(course)
        if limit_s is not None and needed_s > limit_s:
            course = replace(
                course, state="timed_out", stops_after=max(int(course.steps * limit_s / needed_s), 1)
            )
        folder = write_submitted("run", self.folder / "runs", history.path, estimate, self.now_s)
        self.now_s = write_ended(folder, course, self.now_s) + 3600
        errors = collect([folder], history, settle=False)
        if errors:
            raise errors[0]
        return needed_s

    def probe(self, layout: Layout, estimate: Estimate, history: History) -> float:
        """Let a probe be stopped after a few steps, and collect it; return how long it held its GPUs."""
        course = self.course(layout, estimate, draw_factors(self.site, self.rng))
        stopped = replace(course, state="cancelled", stops_after=min(PROBE_STEPS, course.steps))
        folder = write_submitted(
            "probe", self.folder / "runs", history.path, estimate, self.now_s, {"probe": True}
        )
        began_s, self.now_s = self.now_s, write_ended(folder, stopped, self.now_s)
        collect([folder], history, settle=False)
        return self.now_s - began_s

    def course(self, layout: Layout, estimate: Estimate, factors: RunFactors) -> Course:
        step_s = run_step_s(self.site, self.network, layout, factors)
        noise = [math.exp(self.rng.gauss(0, 0.02)) for _ in range(50)]
        middle = sum(noise) / len(noise)
        every = [
            interval_steps(pause, estimate.workload, estimate.steps)
            for pause in (estimate.workload.evaluation, estimate.workload.checkpoint)
        ]
        save_s = 14 * self.network.parameters / self.site.save_bytes_per_s
        return Course(
            steps=estimate.steps.total,
            step_s=step_s,
            waits_s=waits_s(self.site, self.network, layout, factors.network),
            startup_s=self.site.startup_s * factors.startup,
            evaluation_s=20 * compute_s(self.site, self.network, layout) * math.exp(self.rng.gauss(0, 0.1)),
            evaluation_every=every[0],
            checkpoint_s=save_s * math.exp(self.rng.gauss(0, 0.2)),
            checkpoint_every=every[1],
            step_noise=[x / middle for x in noise],
        )


def _length_s(course: Course) -> float:
    """Seconds from the start of the run to its end."""
    evaluations = course.steps // (course.evaluation_every or course.steps)
    saves = math.ceil(course.steps / (course.checkpoint_every or course.steps))
    pauses_s = evaluations * course.evaluation_s + saves * course.checkpoint_s
    return course.startup_s + course.steps * course.step_s + pauses_s


def draw_loop(rng: random.Random, folder: Path) -> Loop:
    """A user, whose target has 4 to 64 GPUs and takes 1 to 24 hours."""
    site, network = draw_site(rng), draw_network(rng)
    gpus = rng.choice((4, 8, 16, 32, 64))
    most = max(int(16384 / network.seq_len), 1)
    batch = max(most // rng.choice((1, 2, 4)), 1)
    target = Layout(gpus, -(-gpus // GPUS_PER_NODE), batch, rng.choice((1, 1, 2, 4)))
    profile = (
        load_profile("slurm-a100" if site.gpu.startswith("a100") else "slurm-h100")
        if rng.random() < 0.5
        else None
    )
    return Loop(site, network, target, math.exp(rng.uniform(0, math.log(24))), rng, profile, folder)


def neighbours(target: Layout) -> list[Layout]:
    """Twice and half the GPUs, and the micro-batch, of the target."""
    shapes = [replace(target, batch_size=target.batch_size * 2)]
    shapes += [replace(target, batch_size=target.batch_size // 2)] if target.batch_size > 1 else []
    for gpus in (target.gpus * 2, target.gpus // 2):
        shapes.append(replace(target, gpus=gpus, nodes=-(-gpus // GPUS_PER_NODE)))
    return shapes


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


def report(tally: Tally) -> Iterator[str]:
    """The lines of what was found."""
    yield "| step time | shape | asked | off by | in range, of 80 % | P90 / P10 |"
    yield "|---|---|---:|---:|---:|---:|"
    pooled = dict(tally.forecasts)
    for stage in dict.fromkeys(stage for stage, shape in tally.forecasts if shape != "target"):
        pooled[stage, "both"] = [
            f for shape in ("run before", "never run") for f in tally.forecasts.get((stage, shape), [])
        ]
    for (stage, shape), forecasts in sorted(pooled.items(), key=lambda item: _place(*item[0])):
        width = median(f.estimated.p90 / f.estimated.p10 for f in forecasts)
        yield f"| {stage} | {shape} | {_cells(score_forecasts(forecasts))} | {width:.2f} |"
    yield ""
    yield "| walltime after 3 runs | runs | enough | asked / used |"
    yield "|---|---:|---:|---:|"
    for name, walltimes in tally.walltimes.items():
        enough = sum(walltimes.enough) / len(walltimes.enough)
        yield f"| {name} | {len(walltimes.ratios)} | {enough:.1%} | {median(walltimes.ratios):.2f} |"
    yield ""
    yield "| `history accuracy` of all runs | step times | off by | in range | wall-clocks | off by | in range |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    accuracy = score_estimates(tally.runs)
    for group in (*accuracy.by_source, *([accuracy.everything] if accuracy.everything else [])):
        yield f"| {group.name} | {_cells(group.step_time)} | {_cells(group.wall_clock)} |"


def _place(stage: str, shape: str) -> tuple[int, int, str]:
    stages = ["before any run", "after a calibration", *(f"after {n} run{'s' * (n > 1)}" for n in AFTER)]
    return stages.index(stage), shape.startswith("with"), shape


def _cells(score: Score) -> str:
    if not score.runs:
        return "0 | | "
    return f"{score.runs} | {(score.error or 0.0):.1%} | {score.in_range / score.runs:.0%}"


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
