"""A site's own sbatch and squeue: wrappers and filters that print banners, notes, JSON or nothing, and add options.

The wrappers stand on PATH, as at a site.
"""

import os
import shlex
import shutil
from collections.abc import Generator
from typing import Any

import pytest
from launched import story
from slurm_cluster import Cluster

from clusterplan.launcher.slurm.jobs import parse_queue
from clusterplan.launcher.slurm.nodes import parse_nodes

# What stands in place of sbatch, with $real as its own, and what it says.
WRAPPERS = {
    "a bare number": '$real "$@" | grep -o "[0-9]*"',  # dask/dask-jobqueue#209
    "a banner and the sentence": 'echo "Welcome: 3 jobs of 10 are used"; shift; $real "$@"',
    "the sentence of a cluster": 'id=$($real "$@"); echo "Submitted batch job $id on cluster west"',
    "JSON": 'id=$($real "$@"); printf \'{\\n "job_id": "%s",\\n "quota": 77\\n}\\n\' $id',
    "colours": 'printf "\\033[32m%s\\033[0m\\n" $($real "$@")',
    "nothing": '$real "$@" >/dev/null',
    "words of its own": 'echo "Your job $($real "$@") is in the queue, and 12 are before it"',
    "a failure after the job was queued": '$real "$@" >/dev/null; echo "sbatch: error: billing: no answer" >&2; exit 1',
    "a lost answer": '$real "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1',
    "a copy of the script, with options": 'copy=$(mktemp); for last; do :; done; cat "$last" >$copy; $real --comment=x $copy >/dev/null',
}


def put_wrapper(launched: Any, name: str, body: str) -> dict[str, str]:
    """An environment in which `name` is a shell script."""
    folder = launched.folder / "site"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\nreal={shlex.quote(str(shutil.which(name)))}\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{launched.environment['PATH']}"}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_job_is_found_whatever_sbatch_prints(on_slurm: Any, slurm: Cluster, wrapper: str) -> None:
    environment = put_wrapper(on_slurm, "sbatch", WRAPPERS[wrapper])
    run = on_slurm.submit("--gpus", "1", "--slurm", "hold", "--", "true", env=environment)
    assert str(run["folder"]) in slurm.ask("scontrol", "show", "job", run["job_id"])
    assert on_slurm("cancel", run["run"]).returncode == 0


@pytest.mark.parametrize("wrapper", ["a banner and the sentence", "nothing"])
def test_an_array_is_found_whatever_sbatch_prints(on_slurm: Any, slurm: Cluster, wrapper: str) -> None:
    environment = put_wrapper(on_slurm, "sbatch", WRAPPERS[wrapper])
    command = ["--sweep", "s=1,2", "--gpus", "1", "--slurm", "hold", "--", "echo", "{s}"]
    runs = on_slurm.submit(*command, env=environment)["runs"]
    assert [run["job_id"].partition("_")[2] for run in runs] == ["0", "1"]
    assert "ArrayTaskId=" in slurm.ask("scontrol", "show", "job", runs[1]["job_id"])


def test_notes_of_the_sites_filter_are_shown(on_slurm: Any) -> None:
    note = "your job goes to QOS long"  # job_submit.lua: slurm.log_user(...)
    environment = put_wrapper(on_slurm, "sbatch", f'echo "sbatch: {note}" >&2; $real "$@"')
    done = on_slurm("submit", "--gpus", "1", "--", "true", env=environment)
    assert done.returncode == 0
    assert f"sbatch: {note}\n" in done.stderr


def test_a_job_that_may_be_queued_keeps_its_folder(on_slurm: Any) -> None:
    environment = put_wrapper(on_slurm, "sbatch", "echo thanks")
    done = on_slurm("submit", "--gpus", "1", "--", "true", env=environment)
    assert done.returncode == 1
    assert "sbatch names no job ('thanks'), and squeue shows none of this run" in done.stderr
    (folder,) = (on_slurm.folder / "runs").iterdir()
    assert str(folder) in done.stderr
    assert "refused" not in done.stderr


def test_a_refusal_of_the_filter_is_one(on_slurm: Any) -> None:
    body = 'echo "sbatch: error: lua: give --account" >&2; echo "see the wiki" >&2; exit 1'
    done = on_slurm("submit", "--gpus", "1", "--", "true", env=put_wrapper(on_slurm, "sbatch", body))
    assert done.returncode == 1
    assert done.stderr.endswith("\nError: sbatch refused: lua: give --account\n")
    assert not list((on_slurm.folder / "runs").iterdir())


@pytest.mark.parametrize("option", ["mem=900G", "nodelist=gpu4"])
def test_a_job_that_slurm_refuses_but_keeps_a_record_of_is_refused(on_slurm: Any, option: str) -> None:
    """squeue --states=all shows it as FAILED with BadConstraints."""
    # Forced, because a check of ours knows of the memory before.
    done = on_slurm("submit", "--force", "--gpus", "1", "--slurm", option, "--", "true")
    assert (done.returncode, "Error: sbatch refused: " in done.stderr) == (1, True)
    assert not list((on_slurm.folder / "runs").iterdir())


@story
def test_banners_and_colours_of_the_other_commands_are_no_answer(
    on_slurm: Any,
) -> Generator[None, None, None]:
    banner = "echo '| maintenance | on | Monday | at | noon | in | all | halls |'; printf '\\033[0m'; exec $real \"$@\""
    for name in ("squeue", "scontrol", "sinfo", "scancel"):
        environment = put_wrapper(on_slurm, name, banner)
    run = on_slurm.submit("--gpus", "1", "--", "sleep", "300", env=environment)
    on_slurm.environment |= environment
    on_slurm.wait(run["run"], "running")
    yield
    assert on_slurm("cancel", run["run"]).returncode == 0
    assert on_slurm.ended(run["run"])["state"] == "cancelled"


@story
def test_exported_functions_and_odd_names_reach_the_command(on_slurm: Any) -> Generator[None, None, None]:
    # TACC/Lmod#663: `module` is an exported function of bash.
    environment = {"BASH_FUNC_module%%": "() {  echo loaded $1\n}", "a.b-c": "odd"}
    command = ["bash", "-c", "module load && env | grep ^a[.]b-c="]
    run = on_slurm.submit("--gpus", "1", "--", *command, env=environment)
    yield
    assert on_slurm.ended(run["run"])["state"] == "completed"
    assert on_slurm("logs", run["run"]).stdout == "loaded load\na.b-c=odd\n"


def test_lines_of_a_banner_are_no_jobs_and_no_nodes() -> None:
    banner = "| a | b | c | d | e | f | g | h |\n"
    assert parse_queue(banner) == []
    assert parse_nodes(banner) == []
