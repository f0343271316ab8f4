"""The callable that submitit runs on the node; its pickle holds only the path of the run's folder."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..run_folder.folder import SUBMITIT

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class TrainingJob:
    """The job of one run.  It reads everything from the run's folder, so a requeued job does the same."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> NoReturn:
        # Loaded here, because submitit unpickles this class before it listens for Slurm's warning.
        from ...errors import ForeignFile  # noqa: PLC0415  the guard, until submitit listens
        from ..run_folder.final_status import write_final_status  # noqa: PLC0415  likewise
        from .ranks import read_task  # noqa: PLC0415  likewise
        from .requeue import queue_successor  # noqa: PLC0415  likewise
        from .task import run_task  # noqa: PLC0415  likewise

        folder = Path(self.folder)
        job = read_task(os.environ).job
        # submitit would refuse to save over the draft of an attempt that was killed while it saved.
        for draft in (folder / SUBMITIT).glob(f"{job}_*.save_tmp"):
            draft.unlink(missing_ok=True)
        try:
            code = run_task(folder, os.environ, partial(queue_successor, job_class=type(self)))
        except ForeignFile as error:
            raise SystemExit(f"Error: {error}") from None
        except Exception as error:
            write_final_status(folder, "failed", 1, f"clusterplan itself failed: {error!r}")
            raise
        raise SystemExit(code)

    def checkpoint(self) -> "DelayedSubmission":
        """Start again as it is: submitit calls this for a warning that arrives before the guard listens."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415  submitit, slow to load, for a rare case

        return DelayedSubmission(self)
