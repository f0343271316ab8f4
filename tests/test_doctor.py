"""`clusterplan doctor`: what it finds on machines that lack something, and what it advises."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from launched import Launched


def findings(command: Any, *, code: int) -> dict[str, dict[str, str | None]]:
    done = command("doctor", "--json")
    assert done.returncode == code, done.stdout
    answer = json.loads(done.stdout)
    assert answer["fit"] is (code == 0)
    return {finding["name"]: finding for finding in answer["findings"]}


def test_a_laptop_is_fit(without_slurm: Launched) -> None:
    found = findings(without_slurm, code=0)
    assert [found[name]["state"] for name in ("python", "settings", "runs", "clock", "history")] == ["ok"] * 5
    assert found["slurm"]["text"] == "sbatch is not found: runs start on this machine"
    assert found["gpus"]["state"] == "note"
    assert found["profile"]["advice"]


def test_faults_come_first_with_what_to_do(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "history.db").write_text("no database at all, but long enough to look like one " * 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "history.db"))
        patch.setenv("PATH", str(tmp_path))
        patch.setenv("CLUSTERPLAN_RUNS", "/proc/runs")
        done = in_process("doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("FAULT")] == [
        ["FAULT", "runs"],
        ["FAULT", "history"],
    ]
    assert "/proc: cannot be written" in lines[0]
    assert lines[1].strip().startswith("-> set CLUSTERPLAN_RUNS")
    assert "history check" in done.stdout


def test_a_slurm_that_does_not_answer_is_a_fault(in_process: Command, tmp_path: Path) -> None:
    for name in ("sbatch", "scontrol", "sinfo"):
        program = tmp_path / name
        program.write_text(
            "#!/bin/sh\necho 'Unable to contact slurm controller (connect failure)' >&2; exit 1\n"
        )
        program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        found = findings(in_process, code=1)
    assert found["slurm"]["state"] == "fault"
    assert "Unable to contact slurm controller" in str(found["slurm"]["text"])
