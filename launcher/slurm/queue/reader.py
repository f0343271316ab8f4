"""The queue read once: one `squeue`, and one `scontrol` each for nodes, partitions, reservations and settings.

A slow controller is asked nothing twice, and what it does not answer in time is not waited for.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ....errors import SlurmRefused, SlurmUnavailable
from ....estimator.queue.limit_use import LimitUse, learn_limit_use
from ....estimator.queue.state import QueueState, Rules
from ..client import TIMEOUT_S, ask
from ..cluster import Cluster
from ..nodes import parse_partitions, parse_settings
from .jobs import QUEUE_FIELDS, USE_FIELDS, parse_limit_use, parse_pending, parse_running
from .nodes import parse_queue_nodes, parse_reservations

_STATES = "PENDING,RUNNING,COMPLETING,CONFIGURING,SUSPENDED"
_ACCOUNTING_TIMEOUT_S = 3.0  # nobody waits for a database: without it the limits count
_USE_SINCE = "now-2days"


def read_queue_state(now_s: float, timeout_s: float = TIMEOUT_S) -> QueueState:
    """Return the queue as Slurm shows it to this user at `now_s`.  Raises SlurmUnavailable and SlurmRefused."""
    questions = (
        ("squeue", "--noheader", f"--states={_STATES}", f"--Format={QUEUE_FIELDS}"),
        ("scontrol", "--details", "--oneliner", "show", "node"),
        ("scontrol", "--oneliner", "show", "partition"),
        ("scontrol", "--oneliner", "show", "reservation"),
        ("scontrol", "show", "config"),
    )
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda words: ask(*words, timeout_s=timeout_s), questions)
        return build_queue_state(now_s, *answers)


def build_queue_state(
    now_s: float, jobs: str, nodes: str, partitions: str, reservations: str, config: str
) -> QueueState:
    """Return the queue that these answers describe."""
    settings, facts = parse_settings(config), parse_partitions(partitions)
    cluster = Cluster(tuple(facts), (), settings)
    state = QueueState(
        now_s,
        nodes=tuple(parse_queue_nodes(nodes)),
        running=tuple(parse_running(jobs)),
        pending=tuple(parse_pending(jobs)),
        reservations=tuple(parse_reservations(reservations)),
        partitions={
            each.name: Rules(
                tier=each.priority_tier,
                limit_s=each.limit_s,
                default_limit_s=each.default_limit_s,
                max_nodes=each.max_nodes,
                is_up=each.up,
                is_open=each.open_to_all,
                is_preempted=cluster.yields_to_tiers(each),
            )
            for each in facts
        },
        hides_jobs=settings.hides_jobs,
        cluster=settings.cluster,
        default_partition=next((each.name for each in facts if each.default), ""),
    )
    return state if _counts_memory(state) else _without_memory(state)


def read_limit_use(partitions: Sequence[str]) -> LimitUse | None:
    """Return how much of their limits the jobs of the last two days used; None if no accounting says it in time."""
    question = ("sacct", "--allusers", "--allocations", "--noheader", "--parsable2", f"--format={USE_FIELDS}")
    which = (
        f"--starttime={_USE_SINCE}",
        "--endtime=now",
        "--state=COMPLETED,FAILED,TIMEOUT,OUT_OF_MEMORY",
        f"--partition={','.join(partitions)}",
    )
    try:
        return learn_limit_use(parse_limit_use(ask(*question, *which, timeout_s=_ACCOUNTING_TIMEOUT_S)))
    except (SlurmUnavailable, SlurmRefused):
        return None


def _counts_memory(state: QueueState) -> bool:
    """Return whether memory is a resource here: otherwise Slurm gives none of it away, whatever jobs ask for."""
    asked = any(job.request.memory_mib for job in state.running)
    return not asked or any(node.used_memory_mib for node in state.nodes)


def _without_memory(state: QueueState) -> QueueState:
    return replace(
        state,
        running=tuple(replace(job, request=replace(job.request, memory_mib=0)) for job in state.running),
        pending=tuple(replace(job, request=replace(job.request, memory_mib=0)) for job in state.pending),
    )
