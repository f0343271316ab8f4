"""What submitit runs on the node: nothing but the run's folder is in its pickle."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class TrainingJob:
    """One run's job.  What it does is in the run's folder, so a requeued one does the same."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> NoReturn:
        from ..run_folder.final_status import write_final_status  # noqa: PLC0415  what only the node needs, where jobs are submitted
        from .ranks import read_task_place  # noqa: PLC0415  likewise
        from .requeue import queue_successor  # noqa: PLC0415  likewise
        from .task import run_task  # noqa: PLC0415  likewise

        job = read_task_place(os.environ).job
        for left in (Path(self.folder) / "submitit").glob(f"{job}_*.save_tmp"):
            left.unlink(missing_ok=True)  # of an attempt that was killed while saving; submitit would refuse
        try:
            code = run_task(Path(self.folder), os.environ, partial(queue_successor, job_class=type(self)))
        except Exception as error:
            write_final_status(Path(self.folder), "failed", 1, f"clusterplan itself failed: {error!r}")
            raise
        # The exit code itself: submitit would turn an exception, or a disk too full for its own result, into 1.
        raise SystemExit(code)

    def checkpoint(self) -> "DelayedSubmission":
        """For a warning that arrives before the guard listens: nothing has begun, so start again as it is."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415  submitit, for a rare early warning

        return DelayedSubmission(self)
