"""Hand runs to an executor: queue their job, or start a run on this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...cluster_profiles.modes import make_inner_folder, open_file, umask_in
from ...errors import ClusterplanError, RunFolderError, SubmissionError
from ..run_folder.folder import LOGS, SUBMITIT, TASKS
from ..run_folder.job_log import append_job, read_jobs
from ..slurm import client as slurm
from ..slurm.sbatch import submit_script
from .executor.script import JobClass, write_script
from .request import SlurmRequest

_STARTER = f"{__name__.rpartition('.submission')[0]}.node"  # calls `start_local_run` in a process of its own
_OF_A_RUN = {"CLUSTERPLAN_ATTEMPT", "CLUSTERPLAN_RUN_FOLDER"}


def submit_runs(
    folders: Sequence[Path], request: SlurmRequest, cluster: str | None, job_class: JobClass
) -> tuple[list[str], tuple[str, ...]]:
    """Submit one Slurm job for the run in each of `folders`, an array if there are several.

    Return their job ids, and the notes that the site's sbatch printed.  `cluster` is the name of the Slurm.  Ctrl-C waits
    for its answer: a job that nobody noted could not be cancelled.  Raises SubmissionError with Slurm's words, JobUnknown
    if a job may be queued all the same, and RunFolderError.
    """
    for folder in folders:
        for name in (TASKS, LOGS):
            make_inner_folder(folder / name)
    for folder in folders[1:]:  # an array has one script, and so one place for what its shell and Slurm write
        (folder / SUBMITIT).symlink_to(folders[0] / SUBMITIT)
    where = folders[0] / SUBMITIT
    earlier = {entry.job.partition("_")[0] for entry in read_jobs(folders[0])}
    with _uninterrupted():
        try:
            written = write_script(folders, request, job_class)
        except OSError as error:
            raise SubmissionError(f"{where}: the job cannot be written: {error.strerror}") from None
        queued = submit_script(written, where, earlier, _outside_run(os.environ))
        job = queued.job_id
        ids = [f"{job}_{index}" for index in range(len(folders))] if len(folders) > 1 else [job]
        try:
            for folder, element in zip(folders, ids, strict=True):
                append_job(folder, "slurm", element, queued.cluster or cluster)
        except RunFolderError:
            with suppress(ClusterplanError):
                slurm.cancel_jobs(job)
            raise
    return ids, queued.notes


def submit_local(folder: Path) -> str:
    """Start the run in `folder` on this machine, in a session of its own; return the id of its process.

    Raises SubmissionError.
    """
    for name in (TASKS, LOGS, SUBMITIT):
        make_inner_folder(folder / name)
    command = [sys.executable, "-P", "-m", _STARTER, str(folder)]
    path = folder / SUBMITIT / "start.log"
    with os.fdopen(open_file(path, os.O_TRUNC), "wb") as log, _uninterrupted():
        started = subprocess.run(  # noqa: S603  our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_outside_run(os.environ),
            start_new_session=True,
            umask=umask_in(folder),
            check=False,
        )
    if started.returncode:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        silence = f"exit code {started.returncode}, and {path} is empty; is the disk full?"
        raise SubmissionError(f"the run cannot be started here: {text.splitlines()[-1] if text else silence}")
    return read_jobs(folder)[-1].job


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back from the block, and from processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outside_run(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables of a run around us."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("SUBMITIT_") and name not in _OF_A_RUN
    }
