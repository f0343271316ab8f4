"""Write down the end of runs that could not do so themselves."""

import socket
from contextlib import suppress
from pathlib import Path

from ...errors import UnreadableFile
from ..run_folder.final_status import has_final_status, write_final_status
from ..run_folder.folder import is_own_run
from ..run_folder.records.run_facts import RunFacts, read_run_facts
from ..run_folder.registry import registered_folders
from ..run_folder.task_records import process_birth
from ..sampler.spool import SUFFIX
from .end_reasons import KILLED
from .state import State
from .status import read_statuses


def settle_open_runs(history: Path) -> None:
    """Write the final status of every run of this history that has ended without one."""
    facts = dict[Path, RunFacts]()
    for folder in registered_folders(history):
        if not has_final_status(folder):
            with suppress(UnreadableFile):  # the collection of this run says it
                facts[folder] = read_run_facts(folder)
    submitted = [folder for folder, run in facts.items() if run.get("kind") == "submit"]
    if submitted:
        read_statuses(submitted, facts)
    for folder, run in facts.items():
        if run.get("kind") == "sample":
            _settle_sampled_run(folder, run)


def _settle_sampled_run(folder: Path, run: RunFacts) -> None:
    """Write the end of a run of `clusterplan sample` whose process is gone; only its own host can tell."""
    pid = run.get("pid")
    if run.get("host") != socket.gethostname() or pid is None or not is_own_run(folder):
        return
    if process_birth(pid) != run.get("birth") and not has_final_status(folder):
        last_s = max((path.lstat().st_mtime for path in folder.glob(f"*{SUFFIX}")), default=None)
        write_final_status(folder, State.FAILED, None, KILLED, ended_s=last_s)
