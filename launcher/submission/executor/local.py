"""The start of a run on this machine, by submitit's local executor."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

from ...run_folder.folder import SUBMITIT
from ...run_folder.job_log import append_job
from .late_asyncio import late_asyncio
from .script import NO_LIMIT, JobClass, start_command

_LONGEST_LOCAL_MINUTES = 60 * 24 * 3650  # the guard knows the limit: it counts from when the run has its GPUs


def start_local_run(folder: Path, job_class: JobClass) -> NoReturn:
    """Start the run in `folder` by submitit's local executor, and end this process."""
    with late_asyncio():
        from submitit import LocalExecutor  # noqa: PLC0415  submitit, slow to load

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    restored = (
        "-u CUDA_VISIBLE_DEVICES" if visible is None else shlex.quote(f"CUDA_VISIBLE_DEVICES={visible}")
    )
    python = f"env {restored} {shlex.quote(sys.executable)} -P"

    class Executor(LocalExecutor):
        @property
        def _submitit_command_str(self) -> str:
            return start_command(python, folder / SUBMITIT)

    executor = Executor(folder / SUBMITIT, max_num_timeout=NO_LIMIT)
    executor.update_parameters(timeout_min=_LONGEST_LOCAL_MINUTES, tasks_per_node=1, signal_delay_s=30)
    job: Any = executor.submit(job_class(str(folder)))
    append_job(folder, "local", str(job.job_id))
    job._process.returncode = 0  # noqa: SLF001  it outlives us, and that is no news
    os._exit(0)
