"""Hostile neighbours on Slurm: a queued run's folder is replaced, and a run names another's job as its own."""

import json
import os
import pickle
import shlex
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from launched import ENDED_S, job_file, story
from slurm_cluster import until
from two_users import Attack

HELD = "[slurm]\nhold = true\n"


@story
def test_the_job_of_a_replaced_folder_fails_and_writes_nothing(on_slurm: Any) -> Generator[None, None, None]:
    """The pickle is his, and so are links in the place of files that the job's shell writes."""
    run = on_slurm.submit(job_file(on_slurm, more=HELD))
    folder, proof, precious = (
        Path(run["folder"]),
        on_slurm.folder / "proof",
        on_slurm.file("precious", "kept"),
    )
    hidden = folder.rename(folder.with_name("hidden"))
    shutil.copytree(hidden, folder)
    for path in (folder / "submitit").glob("*.pkl"):
        path.write_bytes(pickle.dumps(Attack(f"touch {shlex.quote(str(proof))}")))
    (folder / "submitit" / f"{run['job_id']}.0.exit").symlink_to(precious)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12_345, -1, follow_symlinks=False)
    on_slurm.slurm.ask("scontrol", "release", run["job_id"])
    yield
    said = folder / "submitit" / f"{run['job_id']}_0_log.err"
    until(lambda: said.exists() and "belongs to somebody else" in said.read_text(), "its refusal", ENDED_S)
    ended = "JobState=FAILED"
    until(lambda: ended in on_slurm.slurm.ask("scontrol", "show", "job", run["job_id"]), ended, ENDED_S)
    assert (proof.exists(), precious.read_text()) == (False, "kept")


@story
def test_a_run_that_names_another_job_as_its_own_cancels_none(on_slurm: Any) -> Generator[None, None, None]:
    """Slurm gives a number again when the controller's state is lost, and anybody may write one into a run of theirs."""
    victim, run = (on_slurm.submit(job_file(on_slurm, more=HELD)) for _ in range(2))
    jobs = Path(run["folder"]) / "jobs.jsonl"
    jobs.write_text(json.dumps({**json.loads(jobs.read_text()), "job": victim["job_id"]}) + "\n")
    refused = on_slurm("cancel", run["run"])
    assert refused.returncode == 1
    words = f"Error: job {victim['job_id']} is not of {run['run']}, but of user 0, and prints into "
    assert refused.stderr.startswith(words), refused.stderr
    assert on_slurm.status(victim["run"])["state"] == "pending"
    assert on_slurm("cancel", victim["run"]).returncode == 0
    yield
    assert on_slurm.ended(victim["run"])["state"] == "cancelled"
    on_slurm.slurm.ask("scancel", run["job_id"])
