"""Start what submitit has written for a job, on its node, if nobody but the job's user can have written it:

python -P -m clusterplan.launcher.submission.executor.start FOLDER

It stands in the place of `submitit.core._submit`, which loads whatever pickle lies in FOLDER.  Whoever may write above
FOLDER can put another in its place while the job waits.
"""

import os
import pickle
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import ForeignFile
from ...run_folder.owners.own_files import open_own
from .late_asyncio import late_asyncio

if TYPE_CHECKING:
    from submitit.core.job_environment import JobEnvironment

_WAIT_S = 60.0  # for a file of another node to be seen on the shared disk, as submitit waits
_LOOK_S = 1.0


def start_job(folder: Path) -> None:
    """Load the pickle of this task's job from `folder`, let submitit listen for signals, and call what it holds.

    Raises ForeignFile if somebody else can have written the pickle, and OSError if there is none.
    """
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    with late_asyncio():
        from submitit.core.job_environment import JobEnvironment  # noqa: PLC0415  submitit, slow to load

    environment = JobEnvironment()
    job = _load(environment)
    environment._handle_signals(environment.paths, job)  # noqa: SLF001  no public way
    job.result()


def _load(environment: "JobEnvironment") -> Any:
    path = environment.paths.submitted_pickle
    deadline_s = time.monotonic() + _WAIT_S
    while not path.exists() and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    with os.fdopen(open_own(path), "rb") as file:
        return pickle.load(file)  # noqa: S301  this user wrote it


if __name__ == "__main__":
    try:
        start_job(Path(sys.argv[1]))
    except (ForeignFile, OSError) as error:
        sys.exit(f"Error: {error}")
