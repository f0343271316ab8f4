"""Whether an earlier start of a run may still train on a node that Slurm has lost sight of: pure."""

from collections.abc import Sequence

from ....cluster_profiles.units import join_names
from ...run_folder.task_records import TaskRecord, is_fresh

_BEAT_S = 25.0  # a heartbeat, and the time to write it
_MOST_NODES = 4  # named in a line


def explain_earlier_start(
    tasks: Sequence[TaskRecord], last: Sequence[TaskRecord], now_s: float, *, is_waiting: bool
) -> str:
    """Return words for an earlier start that gives signs of life; empty without one.

    `tasks` are all of the run, and `last` those of its last start.  While the job waits, the last start itself is an
    earlier one; else a sign counts if it is later than the beginning of the last start.
    """
    began_s = min((task.began_s for task in last), default=now_s)
    if is_waiting:
        alive = [task for task in last if is_fresh(task, now_s) and now_s - task.sign_s < _BEAT_S]
    else:
        alive = [
            task for task in tasks if task not in last and is_fresh(task, now_s) and task.sign_s > began_s
        ]
    nodes = dict.fromkeys(task.node for task in alive)
    return f"an earlier start may still run on {join_names(list(nodes), _MOST_NODES)}" if nodes else ""
