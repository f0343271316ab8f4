"""The progress of one run, gathered from its folder and from Slurm's queue."""

from collections.abc import Sequence
from pathlib import Path

from ....estimator.eta.time_left import Start
from ...run_folder.checkpoints import find_last_step
from ...run_folder.launch import Launch
from ...run_folder.progress.loop_lines import read_first_and_latest
from ...run_folder.progress.progress import Circumstances, Progress, estimate_progress
from ...run_folder.records.run_facts import RunFacts
from ...run_folder.task_records import TaskRecord, first_tasks
from ...slurm.jobs import QueuedJob
from ..state import RunState, State
from .expectation import read_expectation
from .limits import limits_of_run


def read_run_progress(
    folder: Path,
    facts: RunFacts,
    launch: Launch | None,
    tasks: Sequence[TaskRecord],
    state: RunState,
    queued_job: QueuedJob | None,
    now_s: float = 0.0,
) -> Progress | None:
    """Return how far a run is, and while it runs when it ends; None if nothing tells.

    Where the loop says nothing, the newest checkpoint does.  `facts` are the values of run.json, and `launch`
    those of launch.json; `now_s` is the Unix time by the run's clock.  Raises UnreadableFile.
    """
    total = facts.get("steps")
    lines = read_first_and_latest(folder)
    circumstances = None
    # The tasks of the other nodes may write before that of rank 0, which decides, has.
    if launch and state.state is State.RUNNING and (attempts := first_tasks(tasks)):
        task = attempts[-1]
        circumstances = Circumstances(
            now_s,
            Start(task.began_s, task.resume_step),
            read_expectation(folder, lines, tasks),
            limits_of_run(launch, tasks, queued_job, now_s),
        )
    if progress := estimate_progress(lines, total, circumstances):
        return progress
    step = None
    if launch and launch.output:
        step = find_last_step(Path(launch.output), launch.checkpoint_pattern)
    return Progress(step, total) if step is not None else None
