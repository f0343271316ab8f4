"""The use cases from Python: the answers of the command line as values, and the same tables in a notebook."""

import copy
import json
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

import clusterplan
from clusterplan.api.history.runs import list_runs, show_run
from clusterplan.api.history.upkeep import check_history, import_runs, prune
from clusterplan.api.result import Result
from clusterplan.launcher.run_folder.final_status import write_final_status
from clusterplan.launcher.run_folder.folder import create_run_folder, history_path, register_run
from clusterplan.launcher.run_folder.job_log import append_job

JOB: dict[str, Any] = {"samples": 1_000_000, "batch_size": 32, "gpus": 8, "samples_per_s": 44.3}
FLAGS = "--samples 1_000_000 --batch-size 32 --samples-per-s 44.3".split()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history and run folders of this test alone."""
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
    monkeypatch.setenv("CLUSTERPLAN_RUNS", str(tmp_path / "runs"))
    return tmp_path


def text_of(html: str) -> list[str]:
    """The words of a page of HTML, in order."""
    return unescape(re.sub(r"<[^>]+>", " ", html)).replace("\xa0", " ").split()


@pytest.fixture
def submitted(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on Slurm that has no end yet, and Slurm's commands, which note that they were called."""
    folder = create_run_folder("phi2", home / "runs", datetime.now(UTC), {"kind": "submit", "model": "phi2"})
    register_run(folder, history_path({"CLUSTERPLAN_HISTORY": str(home / "history.db")}))
    append_job(folder, "slurm", "17")
    programs = home / "bin"
    programs.mkdir()
    for name in ("squeue", "sacct", "scontrol", "sinfo", "sbatch", "scancel"):
        program = programs / name
        program.write_text(f"#!/bin/sh\necho {name} >> {home}/called\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return folder


def asked_slurm(home: Path) -> bool:
    return (home / "called").exists()


def test_an_estimate_from_python_never_asks_slurm(home: Path, submitted: Path) -> None:
    answer = clusterplan.estimate(**JOB, model="phi2")
    assert answer.steps.total == 3907
    assert not asked_slurm(home)
    assert not (submitted / "status.json").exists()


def test_the_command_estimate_never_asks_slurm(home: Path, submitted: Path, in_process: Command) -> None:
    done = in_process("estimate", *FLAGS, "--gpus", "8", "--model", "phi2")
    assert (done.returncode, done.stderr) == (0, "")
    assert not asked_slurm(home)
    assert not (submitted / "status.json").exists()


@pytest.mark.usefixtures("submitted")
def test_commands_that_show_runs_ask_slurm(home: Path, in_process: Command) -> None:
    assert in_process("status").returncode == 0
    assert asked_slurm(home)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("gpus", [8, [1, 8]])
def test_an_estimate_as_a_dict_is_the_json_of_the_command(in_process: Command, gpus: int | list[int]) -> None:
    answer = clusterplan.estimate(**JOB | {"gpus": gpus}, deadline="2d", profile="slurm-a100")
    counts = ",".join(map(str, gpus)) if isinstance(gpus, list) else str(gpus)
    arguments = ("--gpus", counts, "--deadline", "2d", "--profile", "slurm-a100")
    assert answer.as_dict() == json.loads(in_process("estimate", *FLAGS, *arguments, "--json").stdout)
    assert repr(answer) == in_process("estimate", *FLAGS, *arguments).stdout.rstrip("\n")


@pytest.mark.usefixtures("home")
def test_a_notebook_shows_the_table_of_the_terminal() -> None:
    answer = clusterplan.estimate(**JOB | {"gpus": [1, 2, 4, 8]})
    html = answer._repr_html_()
    assert text_of(html) == repr(answer).split()
    assert html.count("<table>") == 2
    assert "<script" not in html


@pytest.mark.usefixtures("home")
def test_everything_in_a_table_is_escaped() -> None:
    answer = clusterplan.estimate(**JOB, model="<script>alert(1)</script>", measurements=[])
    assert "<script" not in answer._repr_html_()
    html = clusterplan.estimate(samples=100, batch_size=1, gpus=1, model="a<b", measurements=[])._repr_html_()
    assert "a<b" not in html


def test_a_job_is_a_file_a_workload_or_flags(home: Path) -> None:
    path = home / "job.toml"
    path.write_text(
        "[data]\nsamples = 1_000_000\n[training]\nbatch_size = 32\ngpus = 8\n[throughput]\nsamples_per_s = 44.3\n",
        encoding="utf-8",
    )
    answers = [
        clusterplan.estimate(path),
        clusterplan.estimate(str(path)),
        clusterplan.estimate(clusterplan.Workload.of(**JOB)),
        clusterplan.estimate(**JOB),
    ]
    assert len({answer.steps for answer in answers}) == 1
    assert clusterplan.estimate(path, batch_size=16, samples_per_s=44.3).steps.total == 7813


@pytest.mark.usefixtures("home")
def test_a_profile_is_a_name_or_a_value() -> None:
    profile = clusterplan.load_profile("slurm-a100")
    assert isinstance(profile, clusterplan.Profile)
    by_name = clusterplan.estimate(**JOB, profile="slurm-a100")
    assert by_name.as_dict() == clusterplan.estimate(**JOB, profile=profile).as_dict()
    path = Path(str(files("clusterplan"))) / "cluster_profiles" / "slurm-a100.toml"
    assert by_name.as_dict() == clusterplan.estimate(**JOB, profile=path).as_dict()
    named = clusterplan.Workload.of(**JOB, profile="slurm-a100")
    assert by_name.as_dict() == clusterplan.estimate(named).as_dict()


@pytest.mark.usefixtures("home")
def test_a_result_goes_through_pickle_as_to_a_worker_process() -> None:
    answers = clusterplan.estimate(samples=1_000_000, batch_size=32, gpus=[4, 8], profile="slurm-a100")
    assert pickle.loads(pickle.dumps(answers)) == answers  # noqa: S301  our own bytes
    assert copy.deepcopy(answers) == answers


RUN = clusterplan.Measurement(
    model="phi2",
    gpu="a100-sxm4-80gb",
    nodes=1,
    gpus=8,
    gpus_per_node=8,
    batch_size=32,
    accumulation=1,
    precision=clusterplan.Precision.BF16,
    seq_len=None,
    step_time_s=5.1,
    source="run 17",
)


def test_measurements_come_from_the_history_or_from_the_caller(home: Path, in_process: Command) -> None:
    add = "history add --model phi2 --gpu a100-sxm4-80gb --gpus 8 --batch-size 32 --precision bf16 --step-time 5.1"
    assert in_process(*add.split()).returncode == 0
    job = clusterplan.Workload.of(samples=1_000_000, batch_size=32, gpus=8, model="phi2")
    kinds = [
        clusterplan.estimate(job, "slurm-a100").step_time.source.kind,
        clusterplan.estimate(job, "slurm-a100", []).step_time.source.kind,
        clusterplan.estimate(job, "slurm-a100", [RUN]).step_time.source.kind,
    ]
    assert kinds == ["measured", "unknown", "measured"]
    with clusterplan.History() as history:
        assert [m.step_time_s for m in history.measurements("phi2")] == [5.1]
    with clusterplan.History(home / "another.db") as another:
        assert another.measurements() == []


def test_a_history_that_cannot_be_read_is_a_remark(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "history.db").write_bytes(b"no database at all, however long it is read")
    answer = clusterplan.estimate(**JOB, model="phi2")
    assert answer.remarks[0].startswith("estimated without the history: ")
    assert answer.remarks[0] in unescape(answer._repr_html_())
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 100}, "--batch-size"),
        ({**JOB, "deadline": "soon"}, "--deadline: 'soon' is neither"),
        ({**JOB, "deadline": 3600}, "--deadline: 3600 is not text"),
        ({**JOB, "keep": "batch"}, "--keep: 'batch' is not one of per-gpu-batch, global-batch"),
        ({**JOB, "profile": "nowhere"}, "profile 'nowhere' does not exist"),
        ({"job": "nowhere.toml"}, "nowhere.toml"),
        ({"job": 5}, "5 is neither a job file nor a Workload"),
        ({"job": clusterplan.Workload.of(**JOB), "epochs": 2}, "epochs: a Workload takes no flags beside it"),
    ],
)
def test_wrong_input_is_one_error_of_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(clusterplan.ClusterplanError, match=re.escape(words)) as caught:
        clusterplan.estimate(**arguments)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("home")
def test_a_list_gives_a_sequence_also_of_one() -> None:
    shapes = clusterplan.estimate(**JOB | {"gpus": [8]})
    assert len(shapes) == 1
    assert shapes[0].placement.gpus == 8
    assert shapes[:] == shapes.items
    assert [shape.steps.total for shape in shapes] == [3907]


def test_runs_are_what_status_shows(submitted: Path, in_process: Command) -> None:
    write_final_status(submitted, "failed", 3, "exit code 3 < 4", ended_s=1e9)
    found = clusterplan.runs()
    assert [run.run for run in found] == [submitted.name]
    assert found.as_dict() == json.loads(in_process("status", "--json").stdout)
    assert repr(found) == in_process("status").stdout.rstrip("\n")
    assert text_of(found._repr_html_()) == repr(found).split()
    (one,) = clusterplan.runs("phi2")
    assert clusterplan.runs("phi2").as_dict() == json.loads(in_process("status", "phi2", "--json").stdout)
    assert repr(one) == in_process("status", "phi2").stdout.rstrip("\n")


@pytest.mark.usefixtures("home")
def test_a_run_is_cancelled_by_id_beginning_or_value() -> None:
    script = "import time; time.sleep(60)"
    for _ in range(2):
        nap = ("submit", "--executor", "local", "--name", "nap", "--", sys.executable, "-c", script)
        subprocess.run([sys.executable, "-m", "clusterplan", *nap], check=True, stdout=subprocess.DEVNULL)
    first, second = clusterplan.runs()
    third = clusterplan.submit(command=[sys.executable, "-c", script], executor="local", name="third").runs[0]
    with pytest.raises(clusterplan.ClusterplanError, match="2 runs begin with 'nap'"):
        clusterplan.cancel("nap")
    assert [run.run for run in clusterplan.cancel(first)] == [first.run]
    assert [run.run for run in clusterplan.cancel(second.run)] == [second.run]
    assert [run.run for run in clusterplan.cancel(third)] == [third.run]


def test_a_sweep_is_submitted_and_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    command = [Path(sys.executable), "-c", "print({lr})", 1]
    job = clusterplan.submit(command=command, executor="local", sweep={"lr": [0.1, 0.2]}, name="swept")
    assert [run["executor"] for run in job.as_dict()["runs"]] == ["local", "local"]
    assert job.runs[0].run in job._repr_html_()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not all(run.state.final for run in clusterplan.runs("swept")):
        time.sleep(0.2)
    runs = clusterplan.runs("swept")
    assert {(run.state.state, run.sweep["lr"]) for run in runs} == {
        ("completed", "0.1"),
        ("completed", "0.2"),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"command": ["no-such-program"]}, "no-such-program"),
        ({"job": 5}, "5 is neither a job file nor a Workload"),
        ({}, "there is no command: give one after --"),
        ({"command": ["true"], "time": "soon"}, "--time: 'soon' is not a duration"),
        ({"command": ["true"], "time": 0}, "--time: 0 must be greater than 0"),
        ({"command": ["true"], "sweep": {"lr": []}}, "--sweep: lr has no values"),
        ({"command": "true now"}, "the command 'true now' is one text: give a list of words"),
        ({"command": ["true"], "executor": "pbs"}, "--executor: 'pbs' is not one of slurm, local"),
        ({"command": ["true"], "parallel": 0}, "--parallel: 0 must be at least 1"),
        ({"command": ["true", "{lr}"], "sweep": {"lr": "0.1"}}, "--sweep: lr is '0.1': give a list"),
        ({"command": ["true", "{lr}"], "sweep": {"lr": 0.1}}, "--sweep: lr is 0.1: give a list"),
        ({"command": ["true"], "sweep": {"lr": [1]}}, "the command has no placeholder {lr}"),
    ],
)
def test_what_cannot_be_submitted_is_one_error_and_no_run(
    home: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(clusterplan.ClusterplanError, match=re.escape(words)):
        clusterplan.submit(**{"executor": "local"} | arguments)
    assert not (home / "runs").exists() or not any((home / "runs").iterdir())
    assert not clusterplan.runs()


def test_collect_folds_runs_into_the_history_and_returns_errors(home: Path) -> None:
    folder = create_run_folder("phi2", home / "runs", datetime.now(UTC), {"kind": "sample"})
    register_run(folder, home / "history.db")
    assert clusterplan.collect() == []
    with clusterplan.History() as history:
        assert [run["run"] for run in history.runs()] == [folder.name]
    (folder / "node.spool").write_bytes(b"no spool")
    (error,) = clusterplan.collect()
    assert isinstance(error, clusterplan.ClusterplanError)
    assert "node.spool" in str(error)


def test_a_report_as_a_dict_is_the_json_of_the_command(home: Path, in_process: Command) -> None:
    folder = create_run_folder("phi2", home / "runs", datetime.now(UTC), {"kind": "sample", "began_s": 1e9})
    register_run(folder, home / "history.db")
    write_final_status(folder, "completed", 0, None, ended_s=1e9 + 60)
    site = home / "site.toml"
    rates = 'currency = "EUR"\ndate = "2026-01-01"\ngco2_per_kwh = 400\n'
    site.write_text(
        f'name = "site"\n[rates]\n{rates}[[partitions]]\nname = "gpu"\nnodes = 1\ngpus_per_node = 8\n',
        encoding="utf-8",
    )
    answer = clusterplan.report(profile=str(site))
    arguments = ("report", "--profile", site)
    assert answer.as_dict() == json.loads(in_process(*arguments, "--json").stdout)
    assert repr(answer) == in_process(*arguments).stdout.rstrip("\n")
    assert text_of(answer._repr_html_()) == repr(answer).split()
    assert answer.cost.currency == "EUR"
    profile = clusterplan.load_profile(str(site))
    assert clusterplan.report(folder.name[:5], profile).as_dict() == answer.as_dict()


def test_a_report_says_what_could_not_be_collected(home: Path, in_process: Command) -> None:
    folders = [create_run_folder("phi2", home / "runs", datetime.now(UTC), {}) for _ in range(2)]
    for folder in folders:
        register_run(folder, home / "history.db")
    (folders[0] / "node.spool").write_bytes(b"no spool")
    answer = clusterplan.report("phi2")
    uncollected, several = answer.remarks
    assert uncollected.startswith("not collected: ")
    assert several == f"{answer.run}: the latest of 2 runs that begin with 'phi2'"
    again = "1 run is still not collected: `clusterplan history check` names it"
    assert in_process("report", "phi2").stderr.splitlines() in (
        [again, uncollected, several],
        [again, several],
    )
    assert in_process("history", "check").stderr.splitlines() == [uncollected]
    with pytest.raises(clusterplan.ClusterplanError, match="'resnet' is not in the history") as caught:
        clusterplan.report("resnet")
    assert caught.value.__notes__ == [again]
    assert in_process("report", "resnet").stderr.splitlines() == [again, f"Error: {caught.value}"]


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("list", list_runs),
        ("show", show_run),
        ("check", check_history),
        ("prune", prune),
        ("import", import_runs),
    ],
)
def test_what_a_history_command_prints_is_the_result_of_its_call(
    home: Path, in_process: Command, command: str, call: Callable[[], Result]
) -> None:
    folder = create_run_folder("phi2", home / "runs", datetime.now(UTC), {"kind": "sample"})
    register_run(folder, home / "history.db")
    assert clusterplan.collect() == []
    assert call().as_dict() == json.loads(in_process("history", command, "--json").stdout)
    assert repr(call()) == in_process("history", command).stdout.rstrip("\n")


def test_what_python_loads_for_an_estimate_is_no_command_line() -> None:
    code = (
        "import sys, clusterplan; clusterplan.estimate(samples=10, batch_size=1, gpus=1);"
        "print(*(m for m in ('click', 'sqlite3', 'submitit', 'numpy', 'clusterplan.cli') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
