"""The loop: what was measured makes the next estimate, and a missing or broken history stops none."""

import json

import pytest

ASKED = "estimate --model phi2 --samples 1e6 --batch-size 32 --gpu h100-sxm".split()
ADD = "history add --model phi2 --gpu h100-sxm --batch-size 32".split()


@pytest.fixture
def path(tmp_path, monkeypatch):
    where = tmp_path / "h" / "history.db"
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(where))
    return where


def asked(clusterplan, *args):
    done = clusterplan(*ASKED, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_estimate_makes_no_history(clusterplan, path):
    assert asked(clusterplan, "--gpus", "8")["source"]["kind"] == "unknown"
    assert not path.parent.exists()


@pytest.mark.usefixtures("path")
def test_what_was_entered_is_the_next_estimate(clusterplan):
    clusterplan(*ADD, "--gpus", "8", "--step-time", "5")
    found = asked(clusterplan, "--gpus", "8")
    assert (found["source"]["kind"], found["source"]["runs"], found["step_time_s"]["p50"]) == (
        "measured",
        1,
        5,
    )
    assert "the last today" in found["source"]["text"]


@pytest.mark.usefixtures("path")
def test_more_runs_narrow_the_range_and_the_truth_stays_inside(clusterplan, tmp_path):
    truth = {
        (gpus, batch): 0.1 + 0.03 * batch + 0.04 * (gpus - 1)
        for gpus in (1, 2, 4, 8)
        for batch in (8, 16, 32)
    }
    widths = []
    for known in ([(1, 32)], [(2, 32), (1, 8)], [(2, 8), (4, 32), (4, 8), (1, 16), (2, 16)]):
        lines = [f"phi2,h100-sxm,{gpus},{batch},bf16,{truth[gpus, batch]}" for gpus, batch in known]
        csv = tmp_path / "runs.csv"
        csv.write_text(
            "\n".join(["model,gpu,gpus,batch_size,precision,step_time_s", *lines]), encoding="utf-8"
        )
        assert clusterplan("history", "add", "--csv", csv).returncode == 0
        step = asked(clusterplan, "--gpus", "8")["step_time_s"]
        assert step["p10"] <= truth[8, 32] <= step["p90"]
        widths.append(step["p90"] / step["p10"])
    assert widths == sorted(widths, reverse=True)


@pytest.fixture
def measured(clusterplan, path):
    """Runs on 1 and 2 GPUs are known."""
    for gpus, seconds in ((1, 1.0), (2, 1.05)):
        clusterplan(*ADD, "--gpus", gpus, "--step-time", seconds, "--source", f"log {gpus}")
    assert path.exists()


@pytest.mark.usefixtures("measured")
def test_several_shapes_show_where_measurement_ends(clusterplan):
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
def test_several_shapes_name_the_runs_that_each_rests_on(clusterplan):
    text = " ".join(clusterplan(*ASKED, "--gpus", "1,2,4,8").stdout.split())
    assert (
        "throughput of 2 GPUs: from 1 run of phi2 on 2 h100-sxm, the last today in this configuration (log 2)"
        in text
    )
    assert (
        "throughput of 4 and 8 GPUs: from 2 runs of phi2 on 1-2 h100-sxm, the last today; beyond what was"
        in text
    )


@pytest.mark.usefixtures("path")
def test_of_several_shapes_the_one_known_least_says_what_to_measure(clusterplan):
    clusterplan(*ADD, "--gpus", "1", "--step-time", "1")
    factors = {
        e["shape"]["gpus"]: e["step_time_s"]["p90"] / e["step_time_s"]["p10"]
        for e in asked(clusterplan, "--gpus", "1,2,4,8")["shapes"]
    }
    text = " ".join(clusterplan(*ASKED, "--gpus", "1,2,4,8").stdout.split())
    assert f"measure-next ({max(factors, key=factors.get)} GPUs; others differ)" in text


def test_an_unknown_speed_says_how_it_becomes_known_for_good(clusterplan):
    assert "`clusterplan history add` keeps it" in " ".join(clusterplan(*ASKED, "--gpus", "8").stdout.split())


@pytest.mark.usefixtures("measured")
def test_a_network_that_no_run_used_is_said(clusterplan):
    said = "no run was on several nodes: their network is a prior"
    assert said in asked(clusterplan, "--gpus", "16")["source"]["text"]
    assert "prior" not in asked(clusterplan, "--gpus", "8")["source"]["text"]


@pytest.mark.usefixtures("measured")
def test_a_model_that_is_spelled_almost_like_one_that_ran_is_said(clusterplan):
    done = clusterplan(
        "estimate", "--model", "phi-2", "--samples", "1e6", "--batch-size", "32", "--gpus", "8"
    )
    assert (done.returncode, done.stderr) == (0, "no run of model 'phi-2' is known; there are runs of phi2\n")


@pytest.mark.usefixtures("measured")
def test_runs_of_other_replicas_are_said(clusterplan):
    found = asked(clusterplan, "--gpus", "8", "--tensor-parallel", "2")
    assert (
        "measured with 1 GPU a replica; nothing tells the speed with 2 GPUs from that"
        in found["source"]["text"]
    )


@pytest.mark.usefixtures("measured")
def test_a_knee_that_is_not_reached_is_said(clusterplan):
    assert "knee: beyond 2 GPUs, all keep an efficiency of 75%" in clusterplan(*ASKED, "--gpus", "1,2").stdout


@pytest.mark.usefixtures("measured")
def test_the_parts_of_a_step_are_in_the_json(clusterplan):
    for gpus in (2, 8):
        found = asked(clusterplan, "--gpus", gpus)
        assert sum(found["step_parts_s"].values()) == pytest.approx(found["step_time_s"]["p50"])


@pytest.mark.parametrize("gpus_asked", [2, 4])
@pytest.mark.usefixtures("path")
def test_the_parts_of_a_step_are_explained(clusterplan, gpus_asked):
    for gpus, seconds in ((1, 1.0), (2, 1.05)):
        clusterplan(*ADD, "--gpus", gpus, "--step-time", seconds)
    text = clusterplan(*ASKED, "--gpus", gpus_asked, "--explain").stdout
    assert "s compute + " in text
    assert "of a step computes" in text


def test_a_history_that_cannot_be_read_is_said_and_stops_nothing(clusterplan, path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all, however long it is read")
    done = clusterplan(*ASKED, "--gpus", "8", "--json")
    assert done.returncode == 0
    assert "estimated without the history" in done.stderr
    assert json.loads(done.stdout)["source"]["kind"] == "unknown"


def test_no_model_reads_no_history(clusterplan, path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all")
    done = clusterplan("estimate", "--samples", "1e6", "--batch-size", "32", "--gpus", "8")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("path")
def test_a_gpu_that_would_do_more_than_in_any_run_is_said(clusterplan):
    clusterplan(*ADD, "--gpus", "1", "--step-time", "1")
    grown = asked(clusterplan, "--gpus", "1", "--batch-size", "128")["source"]["text"]
    assert "each GPU does" in grown
    assert "the fastest run" in grown
    assert "the fastest run" not in asked(clusterplan, "--gpus", "2")["source"]["text"]


@pytest.mark.usefixtures("path")
def test_waiting_for_input_takes_as_long_on_a_faster_gpu(clusterplan, tmp_path):
    def on_h100(wait):
        csv = tmp_path / "runs.csv"
        head = "model,gpu,gpus,batch_size,precision,step_time_s,data_wait_share"
        csv.write_text(f"{head}\nphi{wait},a100-sxm4-80gb,8,32,bf16,5,{wait}\n", encoding="utf-8")
        assert clusterplan("history", "add", "--csv", csv).returncode == 0
        return asked(clusterplan, "--gpus", "8", "--model", f"phi{wait}")["step_time_s"]["p50"]

    assert on_h100(0) < on_h100(0.9) <= 5
