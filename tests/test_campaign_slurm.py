"""A campaign of eight jobs on the test Slurm, in two partitions: planned, submitted, one killed, one deleted, finished."""

import json
from pathlib import Path
from typing import Any

import pytest
from launched import Launched

JOB = """
name = "{name}"
[data]
samples = 320
[training]
batch_size = 1
gpus = 1
[throughput]
samples_per_s_per_gpu = 160
[run]
command = ["/bin/bash", "-c", "test ! -e fail-{name}; code=$?; sleep 1; exit $code"]
"""
AFTER = {"a": "", "b": "", "c": "a", "d": "b", "e": "", "f": "e", "g": "", "h": "g"}


def look(launched: Launched, *options: str) -> Any:
    done = launched("schedule", "papers.toml", "--within", "0s", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow  # a minute and a half of jobs one after another
def test_eight_jobs_are_planned_submitted_killed_planned_anew_and_finished(on_slurm: Launched) -> None:
    launched, slurm = on_slurm, on_slurm.slurm
    assert slurm
    text = 'name = "papers"\nprofile = "test"\n[[caps]]\npartition = "long"\ngpus = 2\n[[caps]]\npartition = "old"\ngpus = 1\n'
    for name, after in AFTER.items():
        launched.file(f"{name}.toml", JOB.format(name=name))
        text += f'[[jobs]]\nfile = "{name}.toml"\ngpus = [1]\nafter = {json.dumps(after.split())}\n'
    launched.file("papers.toml", text)
    launched.file("fail-b", "")
    submitted = look(launched, "--submit")
    jobs = {job["job"]: job for job in submitted["jobs"]}
    assert {job["plan"]["cap"] for job in jobs.values()} == {"long", "old"}
    last = submitted["jobs"][-1]
    number = json.loads((Path(last["folder"]) / "jobs.jsonl").read_text(encoding="utf-8").splitlines()[0])
    slurm.ask("scancel", number["job"])
    for job in jobs.values():
        launched.ended(job["run"])
    answer = look(launched, "--replan")
    states = {job["job"]: job["state"] for job in answer["jobs"]}
    assert states["b"] == "failed"
    assert states[last["job"]] in ("cancelled", "lost")
    assert next(job["blocked_by"] for job in answer["jobs"] if job["job"] == "d") == "b"

    (launched.folder / "fail-b").unlink()
    for name in dict.fromkeys(("b", last["job"])):
        if states[name] not in ("completed", "blocked"):
            assert launched("resume", jobs[name]["run"], "--from-start").returncode == 0
    again = look(launched, "--replan")
    assert "d" in {each["job"] for each in again["actions"]}
    for job in again["jobs"]:
        launched.ended(job["run"])
    done = launched("schedule", "papers.toml", "--replan", "--dry-run")
    assert "8 jobs: 8 completed" in done.stdout, done.stdout
