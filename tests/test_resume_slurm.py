"""An ended run goes on as another job of Slurm."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from launched import ENDED_S, story
from slurm_cluster import until
from test_resume import ended, job, log, resumed


@story
def test_a_cancelled_run_is_resumed_to_its_end_by_another_job(on_slurm: Any) -> Generator[None, None, None]:
    run = on_slurm.submit(job(on_slurm, steps=1000))
    until((Path(run["folder"]) / "output" / "step_10").exists, "a checkpoint", ENDED_S)
    on_slurm("cancel", run["run"])
    assert on_slurm.ended(run["run"])["state"] == "cancelled"
    again = resumed(on_slurm, run["run"])
    assert again["run"] == run["run"]
    assert again["job_id"] != run["job_id"]
    yield
    after = on_slurm.ended(run["run"])
    assert (after["state"], after["job_id"], after["attempts"]) == ("completed", again["job_id"], 2)
    assert log(run)[-1] == f"from {again['step']} with 8 x 1"


@story
def test_a_failed_run_goes_on_in_another_partition_without_waiting_again(
    on_slurm: Any,
) -> Generator[None, None, None]:
    """Its `begin` was meant for the first job (man sbatch: now+1hour)."""
    on_slurm.file("end", "3")
    file = job(on_slurm, more='[slurm]\nbegin = "now"\ncomment = "kept"')
    run = on_slurm.submit(file, "--partition", "short")
    assert on_slurm.ended(run["run"])["state"] == "failed"
    (on_slurm.folder / "end").unlink()
    resumed(on_slurm, run["run"], "--partition", "long")
    request = json.loads((Path(run["folder"]) / "request.json").read_text())
    assert (request["partition"], request["further"]) == ("long", [["comment", "kept"]])
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert log(run) == ["from 0 with 8 x 1", "from 20 with 8 x 1"]


@story
def test_a_run_of_this_machine_goes_on_on_slurm(on_slurm: Any) -> Generator[None, None, None]:
    run = ended(on_slurm)
    again = resumed(on_slurm, run["run"], "--executor", "slurm", "--time", "10m")
    assert (again["run"], again["executor"], again["step"]) == (run["run"], "slurm", 20)
    yield
    after = on_slurm.ended(run["run"])
    assert (after["state"], after["job_id"], after["attempts"]) == ("completed", again["job_id"], 2)
