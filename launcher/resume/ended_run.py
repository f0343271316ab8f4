"""A run that has ended, as its folder describes it: everything that is needed to go on with it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...cluster_profiles.files.bounded_file import read_text
from ...errors import RunFolderError
from ...estimator.job.workload import Workload, stated_values
from ..command.placeholders import fill_job
from ..run_folder.checkpoints import Checkpoint
from ..run_folder.folder import DIFF_FILE, JOB_FILE, REQUEST_FILE, RUN_FILE, json_text, write_text
from ..run_folder.launch import LAUNCH_FILE, Launch
from ..run_folder.left_out import find_resumable
from ..run_folder.owners.own_files import open_own_file
from ..run_folder.records.files import read_record
from ..run_folder.records.job_tables import read_job
from ..run_folder.records.run_facts import RunFacts, read_run_facts
from ..run_folder.task_records import read_task_records
from ..secrets.redact import redact_values
from ..submission.request import SlurmRequest
from .changes import without_one_time_options


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended: `facts` of its run.json, `job` as the tables of a job file, its launch and its request."""

    folder: Path
    facts: RunFacts
    job: Mapping[str, Any]
    launch: Launch
    request: SlurmRequest

    @property
    def is_sized(self) -> bool:
        """Return whether the size of its data is known."""
        return self.facts.get("steps") is not None

    @property
    def walltime_s(self) -> float | None:
        """Return the seconds that its job was given; None without a limit of its own."""
        return self.request.walltime_s if self.facts.get("executor") == "slurm" else self.launch.limit_s

    @property
    def output(self) -> Path:
        """Return the folder of its checkpoints."""
        return Path(self.launch.output or self.folder / "output")

    def has_begun(self) -> bool:
        """Return whether its command was ever started."""
        tasks = read_task_records(self.folder)
        return any(task.exit_code is not None or task.state in {"running", "stopping"} for task in tasks)

    def find_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint that it may go on from."""
        return next(find_resumable(self.folder, self.launch), None)

    def files_in_output(self, most: int = 3) -> list[str]:
        """Return some names of what it wrote beside checkpoints."""
        with suppress(OSError):
            return sorted(path.name for path in self.output.iterdir())[:most]
        return []

    def diff(self) -> str | None:
        """Return its repository's diff against the commit, secrets redacted; None without one.  Raises UnreadableFile."""
        with suppress(FileNotFoundError):
            return read_text(self.folder / DIFF_FILE)
        return None


def read_ended_run(folder: Path) -> EndedRun:
    """Read the run in `folder`, to run it again.

    Raises UnreadableFile, ForeignFile if others may have written it, and RunFolderError.
    """
    facts, launch = read_run_facts(folder, open_own_file), Launch.read(folder, to_run=True)
    job = read_job(folder, open_own_file)
    request = read_record(SlurmRequest, folder / REQUEST_FILE, open_own_file)
    if request is None or not job.get("run"):
        raise RunFolderError(
            f"{folder / JOB_FILE}: has no command, as a run of an earlier clusterplan: submit the job again, with "
            f"checkpoint.folder = {json.dumps(launch.output)}"
        )
    stated = launch.stated_job or fill_job(job, facts.get("sweep") or {})
    tables = {"name": facts.get("name") or folder.name, **stated}
    if launch.output != f"{folder}/output":
        tables["checkpoint"] = {**stated.get("checkpoint", {}), "folder": launch.output}
    further = without_one_time_options(dict(request.further))
    return EndedRun(folder, facts, {**tables, "slurm": further}, launch, request)


@contextmanager
def changed_files(
    folder: Path, facts: Mapping[str, Any], launch: Launch, request: SlurmRequest, job: Workload
) -> Iterator[None]:
    """Write the files of a run for its next job; if the block fails, they are as they were."""
    stated = stated_values(job)
    launch = launch.with_secrets_of(stated, {})
    texts = {
        RUN_FILE: json_text(facts),
        LAUNCH_FILE: json_text(asdict(launch)),
        REQUEST_FILE: json_text(asdict(request)),
        JOB_FILE: json_text(redact_values(stated)),
    }
    before = {name: (folder / name).read_text(encoding="utf-8") for name in texts}
    try:
        for name, text in texts.items():
            if text != before[name]:
                write_text(folder / name, text)
        yield
    except BaseException:
        for name, text in before.items():
            write_text(folder / name, text)
        raise
