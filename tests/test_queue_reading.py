"""The queue as Slurm prints it, read: recorded from Slurm 22.05.8, and in the spellings of other versions.

Field names: `squeue --helpformat`, slurm/src/squeue/opts.c; spellings of GPUs: slurm.schedmd.com/squeue.html.
"""

import math

import pytest

from clusterplan.estimator.queue.forecast import forecast_waits
from clusterplan.estimator.queue.state import QueueState, Request
from clusterplan.launcher.slurm.jobs import parse_forecast
from clusterplan.launcher.slurm.queue.jobs import QUEUE_FIELDS, parse_pending, parse_running
from clusterplan.launcher.slurm.queue.nodes import parse_queue_nodes
from clusterplan.launcher.slurm.queue.reader import build_queue_state

NOW_S = 1795904235.0
JOBS = """\
4|PENDING|long|4294901756|3|3|3|1000M|gres:gpu:a100:8|N/A|N/A|cpu=3,mem=3000M,node=3,billing=3|1:00:00|1795906030|1795904231|1795904231|root|||(null)|(null)|OK|(null)|Resources|
6_[0-9%2]|PENDING|long|4294901754|1|1|1|1000M|gres:gpu:8|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795920420|1795904232|1795904231|root|||(null)|(null)|OK|(null)|Priority|
7|PENDING|long|4294901753|1|1|1|32G|gres:gpu:1|N/A|N/A|cpu=1,mem=32G,node=1,billing=1|1:00:00|N/A|N/A|1795904231|root|||(null)|(null)|OK|afterok:1(unfulfilled)|Dependency|
9|PENDING|long|4294901752|1|1|1|1000M|gres:gpu:1|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795907831|1795907831|1795904231|root|||(null)|(null)|OK|(null)|BeginTime|
10|PENDING|long|4294901751|1|1|1|1000M|N/A|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|1795924020|1795904231|1795904231|root|||(null)|(null)|NO|(null)|Priority|
8|PENDING|long|0|1|1|1|1000M|gres:gpu:1|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|1:00:00|N/A|N/A|1795904231|root|||(null)|(null)|OK|(null)|JobHeldUser|
1|RUNNING|long|4294901759|1|1|1|1000M|gres:gpu:a100:2|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|20:00|1795904230|1795904229|1795904229|root|gpu1||(null)|(null)|OK|(null)|None|
2|RUNNING|long|4294901758|2|2|2|1000M|gres:gpu:8|N/A|N/A|cpu=2,mem=2000M,node=2,billing=2|30:00|1795904230|1795904229|1795904229|root|gpu[2-3]||(null)|(null)|OK|(null)|None|
3|RUNNING|long|4294901757|1|1|1|1000M|N/A|gres:gpu:4|N/A|cpu=1,mem=1000M,node=1,billing=1|10:00|1795904232|1795904231|1795904231|root|gpu1||(null)|(null)|OK|(null)|None|
5|PENDING|long,short|4294901755|1|4|4|1000M|N/A|N/A|gres:gpu:1|cpu=4,mem=4000M,node=1,billing=4|1:00:00|1795909620|1795904231|1795904231|root|||(null)|(null)|OK|(null)|PartitionTimeLimit|
11|RUNNING|old|4294901750|1|1|1|1000M|gres:gpu:v100:3|N/A|N/A|cpu=1,mem=1000M,node=1,billing=1|5:00|1795904232|1795904231|1795904231|root|gpu4|gpu4|(null)|(null)|OK|(null)|None|
"""
NODES = """\
NodeName=gpu1 CPUAlloc=2 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:6(IDX:0-5) OS=Linux RealMemory=64000 AllocMem=2000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu2 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:8(IDX:0-7) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu3 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:a100:8 GresUsed=gpu:a100:8(IDX:0-7) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=short,long,preempt,grace
NodeName=gpu4 CPUAlloc=1 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:v100:8 GresUsed=gpu:v100:3(IDX:0-2) OS=Linux RealMemory=64000 AllocMem=1000 State=MIXED Partitions=old,mixed
NodeName=gpu5 CPUAlloc=0 CPUEfctv=16 CPUTot=16 ActiveFeatures=(null) Gres=gpu:nvidia_h100_80gb_hbm3:2,gpu:nvidia_l40s:2,gpu:nvidia_h100_80gb_hbm3_1g.10gb:4 GresUsed=gpu:nvidia_h100_80gb_hbm3:0(IDX:N/A),gpu:nvidia_l40s:0(IDX:N/A),gpu:nvidia_h100_80gb_hbm3_1g.10gb:0(IDX:N/A) OS=Linux RealMemory=64000 AllocMem=0 State=IDLE Partitions=mixed
"""
RESERVATIONS = """\
ReservationName=maint StartTime=1795922231 EndTime=1795925831 Duration=01:00:00 Nodes=gpu3 NodeCnt=1 CoreCnt=16 Features=(null) PartitionName=(null) Flags=MAINT,IGNORE_JOBS,SPEC_NODES TRES=cpu=16 Users=root Groups=(null) Accounts=(null) Licenses=(null) State=INACTIVE BurstBuffer=(null) Watts=n/a MaxStartDelay=(null)
"""
PARTITIONS = """\
PartitionName=short Default=NO MaxNodes=UNLIMITED MaxTime=00:02:00 PriorityTier=2 PreemptMode=OFF State=UP
PartitionName=long Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=2 PreemptMode=OFF State=UP
PartitionName=preempt Default=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=1 PreemptMode=REQUEUE State=UP
PartitionName=old Default=NO MaxNodes=UNLIMITED MaxTime=1-00:00:00 PriorityTier=2 PreemptMode=OFF State=UP
"""
CONFIG = "PreemptType = preempt/partition_prio\nPrivateData = none\n"


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
