"""How the tasks of a run start its command: written once at submission, read at every start.

A file and not a pickle, so that a restart days later reads the same, even if Python or clusterplan was upgraded.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ...cluster_profiles.files.bounded_file import open_regular
from ...errors import UnreadableFile
from ...estimator.job.framework import Bootstrap
from ..command.container import Container
from .folder import json_text, write_new_text
from .owners.own_files import open_own_file
from .records.files import read_record
from .records.values import Count, Positive, Seconds

LAUNCH_FILE = "launch.json"


@dataclass(frozen=True)
class Launch:
    """The command of a run, and how it is started, stopped and resumed.

    The placeholders of `command` are filled in; `{latest}` in `resume` is filled at each start.  `output` is the folder
    in which checkpoints appear, `checkpoint_pattern` what the job file says of their names, and `log_pattern` what it
    says of lines that report a step.  `stall_command` runs when no step has come for too long.  The command runs in
    `container` if there is one, and where it starts the processes of all nodes, in `one_task`.  `local_gpus` are the
    UUIDs of GPUs that a run on this machine may use; None on Slurm.  `limit_s` is the time that the run gets once it
    has its GPUs; None is no limit, or that of Slurm.  `stated_job` is the job file after flags, if job.json hides
    secrets of it.  The command's files get `umask`, the user's own, where ours are nobody else's to write; -1 is that
    of its starter.
    """

    command: tuple[str, ...]
    resume: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    bootstrap: Bootstrap
    nodes: Positive
    gpus: Count
    output: str | None = None
    stop_signal: str = "SIGTERM"
    grace_s: Seconds = 30.0
    max_restarts: Count = 0
    period_s: Seconds = 1.0
    local_gpus: tuple[str, ...] | None = None
    limit_s: Seconds | None = None
    checkpoint_pattern: str | None = None
    container: Container | None = None
    one_task: bool = False
    log_pattern: str | None = None
    stall_command: tuple[str, ...] = ()
    umask: int = -1
    stated_job: Mapping[str, Any] | None = None

    @property
    def gpus_per_node(self) -> int:
        """Return the GPUs on each node; the last node may use fewer."""
        return -(-self.gpus // self.nodes)

    def in_container(
        self, words: tuple[str, ...], folder: Path, variables: Mapping[str, str]
    ) -> tuple[str, ...]:
        """Return the command that runs `words` with these variables in the run's container, if it has one."""
        if self.container is None:
            return words
        folders = (self.cwd, str(folder), *([self.output] if self.output else []))
        return self.container.command(words, folders, self.cwd, variables, gpus=self.gpus > 0)

    def with_secrets_of(self, job: Mapping[str, Any], values: Mapping[str, str]) -> "Launch":
        """Return the launch with the job file after flags, if job.json or a run's `values` of a sweep hide a secret of it.

        So this file alone holds secrets, which has to: its command is run.
        """
        from ..command.placeholders import fill_job  # noqa: PLC0415  difflib, at submission only
        from ..secrets.redact import redact_values  # noqa: PLC0415  its patterns, likewise

        whole = fill_job(job, values)
        is_whole = redact_values(whole) == whole and redact_values(values) == values
        return replace(self, stated_job=None if is_whole else whole)

    def write(self, folder: Path) -> None:
        """Write it into the folder of a new run.  Raises OSError."""
        container = asdict(self.container) if self.container else None
        write_new_text(folder / LAUNCH_FILE, json_text({**vars(self), "container": container}))

    @classmethod
    def read(cls, folder: Path, *, to_run: bool = False) -> "Launch":
        """Read the launch from the run's folder.  Raises UnreadableFile.

        `to_run` it, nobody but this user may have written it: raises ForeignFile.
        """
        launch = read_record(cls, folder / LAUNCH_FILE, open_own_file if to_run else open_regular)
        if launch is None:
            raise UnreadableFile(folder / LAUNCH_FILE, "is missing")
        return launch

    @classmethod
    def find(cls, folder: Path) -> "Launch | None":
        """Return the launch of a run; None if it has none, as a run of `sample`.  Raises UnreadableFile."""
        return read_record(cls, folder / LAUNCH_FILE)
