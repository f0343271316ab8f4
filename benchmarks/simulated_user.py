"""One user with one model on one site: drawn anew, asking for estimates and making runs."""

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

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
from clusterplan.estimator.estimate.estimate import Estimate, estimate_workload
from clusterplan.estimator.estimate.intervals import interval_steps
from clusterplan.estimator.job.workload import Workload

T0 = 1_763_900_000.0
GPUS_PER_NODE = 8
PROBE_STEPS = 25
COMMAND = ("python", "train.py", "--batch-size", "{batch_size}", "--output", "{output}")


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
