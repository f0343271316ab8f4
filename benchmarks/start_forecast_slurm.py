"""Fifty jobs on the test Slurm: the start that clusterplan forecasts for each, beside that of its `squeue --start`."""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import slurm_cluster

from clusterplan.estimator.queue.forecast import forecast_elements
from clusterplan.estimator.queue.limit_use import EndedJob, LimitUse, learn_limit_use
from clusterplan.launcher.slurm.queue.jobs import QUEUE_FIELDS
from clusterplan.launcher.slurm.queue.reader import build_queue_state

JOBS, EVERY = 50, 4
_LIMIT_MINUTES = 1  # Slurm's shortest
_SIZES = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 8))  # nodes, GPUs of each
_LONGEST_S = 900.0
_CYCLE_S = 3.0  # of the backfill, until which squeue has no start
_QUESTIONS = (
    ("scontrol", "--details", "--oneliner", "show", "node"),
    ("scontrol", "--oneliner", "show", "partition"),
    ("scontrol", "--oneliner", "show", "reservation"),
    ("scontrol", "show", "config"),
)


def forecast_on_slurm(seed: int = 14) -> Iterator[list[float]]:
    """Yield the actual wait of jobs, and those by squeue, by limits and by the use of limits, all in seconds."""
    reason = slurm_cluster.missing()
    if reason:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder, slurm_cluster.running(Path(folder)) as cluster:
        yield from _forecast(cluster, random.Random(seed))


def _forecast(cluster: slurm_cluster.Cluster, rng: random.Random) -> Iterator[list[float]]:
    kept: dict[str, list[float]] = {}
    use = learn_limit_use(
        EndedJob("root", _share(rng), 1.0) for _ in range(200)
    )  # as accounting would have it
    for number in range(JOBS):
        nodes, gpus = rng.choice(_SIZES)
        job = cluster.sbatch(
            f"--nodes={nodes}",
            f"--gpus-per-node={gpus}",
            f"--time={_LIMIT_MINUTES}",
            command=f"sleep {_share(rng) * _LIMIT_MINUTES * 60:.0f}",
        )
        if number % EVERY == 0 and number > EVERY:
            time.sleep(_CYCLE_S)
            if forecast := _forecast_one(cluster, job, use):
                kept[job] = forecast
    for job, (made_s, *waits) in kept.items():
        start_s = slurm_cluster.until(partial(_start_s, cluster, job), f"the start of {job}", _LONGEST_S)
        yield [start_s - made_s, *waits]


def _share(rng: random.Random) -> float:
    """Return how much of its limit a job uses."""
    return min(rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95))


def _forecast_one(cluster: slurm_cluster.Cluster, job_id: str, use: LimitUse | None) -> list[float] | None:
    """Return when it was made, and the waits; None for a job that runs, or has no start in squeue yet."""
    queue = ("squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING", f"--Format={QUEUE_FIELDS}")
    now_s = time.time()
    jobs = _ask(cluster, *queue)
    state = build_queue_state(now_s, jobs, *(_ask(cluster, *question) for question in _QUESTIONS))
    planned = _ask(cluster, "squeue", "--start", "--noheader", "--format=%S", f"--jobs={job_id}").strip()
    job = next((each for each in state.pending if each.job_id == job_id), None)
    if job is None or not planned.isdecimal():
        return None
    (forecast,) = forecast_elements(state, job, use)
    if forecast.by_limits_s is None:
        return None
    return [now_s, float(planned) - now_s, forecast.by_limits_s, forecast.expected_s or 0.0]


def _start_s(cluster: slurm_cluster.Cluster, job_id: str) -> float | None:
    """Return when a job began; None if it has not."""
    for line in (cluster.folder / "jobcomp").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"JobId={job_id} "):
            return _unix_s(dict(word.split("=", 1) for word in line.split() if "=" in word)["StartTime"])
    with suppress(RuntimeError):  # forgotten, and so in that file by the next look
        running = ("squeue", "--noheader", "--states=RUNNING", "--format=%S", f"--jobs={job_id}")
        if line := _ask(cluster, *running).strip():
            return float(line)
    return None


def _unix_s(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def _ask(cluster: slurm_cluster.Cluster, *command: str) -> str:
    """Return what a command prints, with its times in Unix seconds."""
    return cluster.ask("env", "SLURM_TIME_FORMAT=%s", *command)
