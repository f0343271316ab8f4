"""What an estimate says of the runs it rests on: which they are, where they end, and what would be better known."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

ASKED = "estimate --model phi2 --samples 1e6 --batch-size 32 --gpu h100-sxm".split()
ADD = "history add --model phi2 --gpu h100-sxm --batch-size 32".split()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    where = tmp_path / "h" / "history.db"
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(where))
    return where


def asked(clusterplan: Command, *args: int | str) -> Any:
    done = clusterplan(*ASKED, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def measured(clusterplan: Command, path: Path) -> None:
    """Runs on 1 and 2 GPUs are known."""
    for gpus, seconds in ((1, 1.0), (2, 1.05)):
        clusterplan(*ADD, "--gpus", gpus, "--step-time", seconds, "--source", f"log {gpus}")
    assert path.exists()


@pytest.mark.usefixtures("measured")
def test_several_shapes_show_where_measurement_ends(clusterplan: Command) -> None:
    text = clusterplan(*ASKED, "--gpus", "1,2,4,8").stdout
    assert [line.split()[-1] for line in text.splitlines()[1:5]] == [
        "measured",
        "measured",
        "beyond",
        "beyond",
    ]
    assert [e["beyond_measured"] for e in asked(clusterplan, "--gpus", "1,2,4,8")["shapes"]] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.usefixtures("measured")
def test_several_shapes_name_the_runs_that_each_rests_on(clusterplan: Command) -> None:
    text = " ".join(clusterplan(*ASKED, "--gpus", "1,2,4,8").stdout.split())
    assert (
        "throughput of 2 GPUs: from 1 run of phi2 on 2 h100-sxm, the last today in this shape (log 2)" in text
    )
    assert (
        "throughput of 4 and 8 GPUs: from 2 runs of phi2 on 1-2 h100-sxm, the last today; beyond what was"
        in text
    )


@pytest.mark.usefixtures("path")
def test_of_several_shapes_the_one_known_least_says_what_to_measure(clusterplan: Command) -> None:
    clusterplan(*ADD, "--gpus", "1", "--step-time", "1")
    factors = {
        e["shape"]["gpus"]: e["step_time_s"]["p90"] / e["step_time_s"]["p10"]
        for e in asked(clusterplan, "--gpus", "1,2,4,8")["shapes"]
    }
    text = " ".join(clusterplan(*ASKED, "--gpus", "1,2,4,8").stdout.split())
    assert f"measure-next (for {max(factors, key=factors.get)} GPUs)" in text


def test_an_unknown_speed_says_how_it_becomes_known_for_good(clusterplan: Command) -> None:
    assert "`clusterplan history add` keeps it" in " ".join(clusterplan(*ASKED, "--gpus", "8").stdout.split())


@pytest.mark.usefixtures("measured")
def test_a_network_that_no_run_used_is_said(clusterplan: Command) -> None:
    said = "no run was on several nodes: their network is a prior"
    assert said in asked(clusterplan, "--gpus", "16")["source"]["text"]
    assert "prior" not in asked(clusterplan, "--gpus", "8")["source"]["text"]


@pytest.mark.usefixtures("measured")
def test_what_holds_for_the_same_shapes_names_them_once(clusterplan: Command) -> None:
    text = " ".join(clusterplan(*ASKED, "--gpus", "2,8,16,32").stdout.split())
    assert "16 and 32 GPUs: no run was on several nodes: their network is a prior" in text
    text = " ".join(
        clusterplan(*ASKED[:1], *ASKED[3:], "--gpus", "8,16", "--samples-per-s", "8").stdout.split()
    )
    assert "16 GPUs: beyond what was measured, no run was on several nodes: their network is a prior" in text


@pytest.mark.usefixtures("measured")
def test_a_model_that_is_spelled_almost_like_one_that_ran_is_said(clusterplan: Command) -> None:
    done = clusterplan(
        "estimate", "--model", "phi-2", "--samples", "1e6", "--batch-size", "32", "--gpus", "8"
    )
    assert (done.returncode, done.stderr) == (0, "no run of model 'phi-2' is known; there are runs of phi2\n")


@pytest.mark.usefixtures("measured")
def test_runs_of_other_replicas_are_said(clusterplan: Command) -> None:
    found = asked(clusterplan, "--gpus", "8", "--tensor-parallel", "2")
    assert "8 GPUs, 2 GPUs per replica are beyond what was measured" in found["source"]["text"]


@pytest.mark.usefixtures("measured")
def test_a_knee_that_is_not_reached_is_said(clusterplan: Command) -> None:
    assert (
        "knee: beyond 2 GPUs; every count here keeps 75% efficiency, so more may still pay"
        in clusterplan(*ASKED, "--gpus", "1,2").stdout
    )


@pytest.mark.usefixtures("measured")
def test_the_parts_of_a_step_are_in_the_json(clusterplan: Command) -> None:
    for gpus in (2, 8):
        found = asked(clusterplan, "--gpus", gpus)
        assert sum(found["step_parts_s"].values()) == pytest.approx(found["step_time_s"]["p50"])


@pytest.mark.parametrize("gpus_asked", [2, 4])
@pytest.mark.usefixtures("path")
def test_the_parts_of_a_step_are_explained(clusterplan: Command, gpus_asked: int) -> None:
    for gpus, seconds in ((1, 1.0), (2, 1.05)):
        clusterplan(*ADD, "--gpus", gpus, "--step-time", seconds)
    text = clusterplan(*ASKED, "--gpus", gpus_asked, "--explain").stdout
    assert "s compute + " in text
    assert "of a step computes" in text
