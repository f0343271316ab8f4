"""The queue as Slurm prints it, read: recorded from Slurm 22.05.8, and in the spellings of other versions.

Field names: `squeue --helpformat`, slurm/src/squeue/opts.c; spellings of GPUs: slurm.schedmd.com/squeue.html.
"""

import math

import pytest
from recorded_queue import CONFIG, JOBS, NODES, NOW_S, PARTITIONS, RESERVATIONS

from clusterplan.estimator.queue.forecast import forecast_waits
from clusterplan.estimator.queue.state import QueueState, Request
from clusterplan.launcher.slurm.jobs import parse_forecast
from clusterplan.launcher.slurm.queue.jobs import QUEUE_FIELDS, parse_pending, parse_running
from clusterplan.launcher.slurm.queue.nodes import parse_queue_nodes
from clusterplan.launcher.slurm.queue.reader import build_queue_state


def recorded(jobs: str = JOBS, config: str = CONFIG) -> QueueState:
    return build_queue_state(NOW_S, jobs, NODES, PARTITIONS, RESERVATIONS, config)


def test_running_jobs_hold_what_they_were_given() -> None:
    jobs = {job.job_id: job for job in recorded().running}
    assert {name: (job.nodes, job.request.gpus) for name, job in jobs.items()} == {
        "1": (("gpu1",), 2),
        "2": (("gpu2", "gpu3"), 8),
        "3": (("gpu1",), 4),  # asked for with --gpus
        "11": (("gpu4",), 3),
    }
    assert jobs["1"].limit_end_s - NOW_S == 1195
    assert recorded().hidden_gpus() == 0


def test_pending_jobs_want_what_they_asked_for() -> None:
    jobs = {job.job_id: job for job in recorded().pending}
    assert {name: (job.request.nodes, job.request.gpus) for name, job in jobs.items()} == {
        "4": (3, 8),
        "5": (1, 4),  # four tasks of a GPU
        "6": (1, 8),
        "7": (1, 1),
        "8": (1, 1),
        "9": (1, 1),
        "10": (1, 0),
    }
    assert (jobs["6"].count, jobs["6"].at_once) == (10, 2)
    assert jobs["7"].after == ("1",)
    assert jobs["7"].request.memory_mib == 32 * 1024
    assert jobs["9"].earliest_s - NOW_S == 3596
    assert jobs["10"].request.exclusive
    assert [name for name, job in jobs.items() if job.is_blocked] == ["8"]
    assert jobs["5"].request.partitions == ("long", "short")


def test_the_hole_of_the_recorded_queue_is_found() -> None:
    """gpu1 has two GPUs left until the job of three nodes begins, when the limit of job 2 ends it."""
    requests = [Request(1, 2, minutes * 60, ("long",)) for minutes in (10, 60)]
    short, long = forecast_waits(recorded(), requests)
    assert (short.by_limits_s, short.hole_s) == (0, 1795)
    assert long.by_limits_s == 5395


def test_mixed_types_and_slices_are_told_apart() -> None:
    (gpu5,) = [node for node in recorded().nodes if node.name == "gpu5"]
    assert dict(gpu5.gpus) == {
        "nvidia_h100_80gb_hbm3": 2,
        "nvidia_l40s": 2,
        "nvidia_h100_80gb_hbm3_1g.10gb": 4,
    }


def test_reservations_keep_their_nodes() -> None:
    (maint,) = recorded().reservations
    assert (maint.nodes, maint.end_s - maint.start_s) == (frozenset({"gpu3"}), 3600)


def test_a_site_that_hides_jobs_is_known() -> None:
    state = recorded(jobs="", config="PrivateData = jobs,usage")
    assert state.hides_jobs
    assert state.hidden_gpus() == 25


@pytest.mark.parametrize(
    "state",
    ["DOWN*", "IDLE+DRAIN", "MIXED+DRAIN", "IDLE+MAINT+RESERVED", "DOWN+NOT_RESPONDING", "INVAL", "FAIL"],
)
def test_a_node_that_takes_no_jobs_is_not_up(state: str) -> None:
    assert not parse_queue_nodes(f"NodeName=n State={state} Gres=gpu:2 Reason=State=IDLE [root@now]")[0].is_up


@pytest.mark.parametrize(
    "state", ["IDLE", "MIXED", "ALLOCATED", "IDLE+CLOUD+POWERED_DOWN", "MIXED+PLANNED", "IDLE~"]
)
def test_a_node_that_takes_jobs_is_up(state: str) -> None:
    assert parse_queue_nodes(f"NodeName=n State={state} Gres=gpu:2")[0].is_up


def test_banners_and_torn_lines_are_no_jobs() -> None:
    torn = JOBS.splitlines()[0][:60]
    text = f"Welcome | to | HPC\n12 jobs of 100 are used\n{torn}\n"
    assert (parse_running(text), parse_pending(text)) == ([], [])


def test_fields_of_newer_versions_mean_the_same() -> None:
    """24.05 and later spell gres/gpu:a100=8 and count GPUs in tres-alloc, where AccountingStorageTRES has them."""
    newer = JOBS.replace("gres:gpu:a100:8", "gres/gpu:a100=8").replace("gres:gpu:", "gres/gpu:")
    assert parse_pending(newer) == parse_pending(JOBS)
    line = (
        JOBS.splitlines()[0].replace("gres:gpu:a100:8", "N/A").replace("billing=3", "billing=3,gres/gpu=24")
    )
    assert parse_pending(line)[0].request.gpus == 8
    assert line.count("|") == QUEUE_FIELDS.count(":|")


def test_a_job_without_a_limit_has_none() -> None:
    assert parse_running(JOBS.replace("|20:00|", "|UNLIMITED|"))[0].request.limit_s == math.inf


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: Job 5 to start at 2026-11-28T12:30:37 using 1 processors on nodes gpu1 in partition gpu",
        "sbatch: Job 5 to start at 2026-11-28T12:30:37 a using 1 processors on nodes gpu1 in partition gpu",
        "sbatch: Job 5 to start at 2026-11-28T12:30:37 on cluster west a using 1 processors on nodes gpu1 in partition gpu",
    ],
)
def test_test_only_is_read_in_the_spelling_of_each_version(text: str) -> None:
    """Up to 24.11, and from 25.05 on with a stray `a`; seen with 26.11.0rc1 too."""
    forecast = parse_forecast(text)
    assert (forecast.nodes, forecast.refusal) == ("gpu1", None)
    assert forecast.start_s
