"""Runs beside each other: `history compare`, and the note on a run that is slower than its own history."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command

from clusterplan import Measurement, Precision, Workload
from clusterplan.estimator.accuracy.comparison import compare_runs
from clusterplan.estimator.accuracy.differences import find_differences
from clusterplan.estimator.accuracy.input_share import find_input_wait
from clusterplan.estimator.accuracy.run_facts import RunFacts
from clusterplan.estimator.accuracy.slowdown import find_slowdown
from clusterplan.estimator.estimate.estimate import estimate_workload

sys.path.insert(0, str(ROOT / "benchmarks"))
from simulated_runs import Course, write_ended, write_submitted

T0 = 1_763_900_000.0
SETUP: dict[str, Any] = {
    "drivers": ("550.54",),
    "nodes": ("n3",),
    "gpus": ("NVIDIA A100-SXM4-80GB",),
    "packages": {"torch": "2.4.0", "zarr": "1"},
}


def run(step_s: float, name: str = "r", gpu: str = "a100-sxm4-80gb", **facts: Any) -> RunFacts:
    measurement = Measurement("m", gpu, 1, 8, 8, 4, 1, Precision.BF16, 2048, step_s, data_wait_share=0.02)
    return RunFacts(**{"run": name, "model": "m", "measurement": measurement, **SETUP, **facts})


def test_a_run_that_is_clearly_slower_is_noted_with_what_only_it_has() -> None:
    changed: dict[str, Any] = {
        "drivers": ("535.1",),
        "packages": {"torch": "2.5.1", "zarr": "1"},
        "nodes": ("n7",),
    }
    text = find_slowdown(run(0.42, **changed), [run(t) for t in (0.4, 0.401, 0.399, 0.4)]).text
    assert text.startswith("5.0% slower than 4 runs of its shape before")
    for part in ("driver 535.1, not 550.54", "node n7, not n3", "torch 2.5.1, not 2.4.0"):
        assert part in text
    assert "zarr" not in text


@pytest.mark.parametrize(
    ("step_s", "earlier"),
    [
        (0.411, [0.4, 0.4, 0.4, 0.4, 0.4, 0.4]),  # 2.7 %
        (0.44, [0.4, 0.42, 0.37, 0.44, 0.38]),  # as far as they differ among themselves
        (0.42, [0.4]),  # one run tells no spread
        (0.38, [0.4, 0.4, 0.4]),  # faster
        (0.415, [0.4, 0.4]),  # two that agree may do so by chance
    ],
)
def test_no_note_where_a_run_is_as_slow_by_chance(step_s: float, earlier: list[float]) -> None:
    assert find_slowdown(run(step_s), [run(t) for t in earlier]) is None


def test_runs_on_other_gpus_count_only_where_there_are_none_on_the_same() -> None:
    others = [run(0.2, gpu="h100-sxm", gpus=("NVIDIA H100",)) for _ in range(4)]
    assert "GPU NVIDIA A100-SXM4-80GB, not NVIDIA H100" in find_slowdown(run(0.4), others).text
    assert find_slowdown(run(0.4), [*others, run(0.4), run(0.401)]) is None


def test_a_wait_for_input_is_named_first() -> None:
    slow = run(0.5, nodes=("n7",))
    slow = replace(slow, measurement=replace(slow.measurement, data_wait_share=0.25))
    text = find_slowdown(slow, [run(t) for t in (0.4, 0.4, 0.4)]).text
    assert "only in this run: 25% of a step waits for input, not 2%, node n7" in text


def test_a_run_that_waited_for_input_is_told_what_would_shorten_that() -> None:
    fed = run(0.5)
    starved = replace(fed, measurement=replace(fed.measurement, data_wait_share=0.4, busy_share=0.55))
    assert find_input_wait(fed) is None
    text = find_input_wait(starved).text
    assert text.startswith(
        "40% of a step waited for input, and its GPUs were 55% busy: it gave 64 samples/s where"
    )
    assert "could have taken 107" in text


def test_a_difference_of_unknown_facts_is_none() -> None:
    bare = RunFacts("b", "m")
    assert find_differences(run(0.4), bare) == []
    assert compare_runs(run(0.4), bare).speed_ratio is None


def test_differences_come_with_the_most_telling_first() -> None:
    first = run(0.4, command=("train.py", "--lr", "1e-3", "data"), commit="a" * 40)
    second = run(0.4, command=("train.py", "--lr", "2e-3", "data", "--fast"), commit="b" * 40 + "-dirty",
                 packages={"torch": "2.5.1", "zarr": "2", "apex": "1", "numpy": "1", "a": "1", "b": "2"},
                 drivers=("535.1",))  # fmt: skip
    second = replace(second, measurement=replace(second.measurement, gpus=16, nodes=2))
    found = find_differences(first, second)
    assert [each.what for each in found] == [
        "nodes", "GPUs", "driver", "torch", "apex", "numpy", "a", "2 more packages", "command", "git",
    ]  # fmt: skip
    assert (found[-2].first, found[-2].second) == ("--lr 1e-3 ... -", "--lr 2e-3 ... --fast")
    assert found[-1].second == "bbbbbbbbbb-dirty"


@pytest.mark.parametrize(
    ("second_s", "repeats", "beyond"), [(0.41, 1, False), (0.48, 1, True), (0.41, 8, False), (0.43, 8, True)]
)
def test_a_speed_up_counts_beyond_what_repeats_differ_by(second_s: float, repeats: int, beyond: bool) -> None:
    comparison = compare_runs(
        run(0.4), run(second_s), [run(0.4 * (0.99 + i % 3 / 100)) for i in range(repeats)]
    )
    assert comparison.speed_ratio == pytest.approx(0.4 / second_s)
    assert comparison.is_beyond_chance is beyond


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write the folder of a run that has ended, and return its id; each begins a day after the one before."""
    history = tmp_path / "h" / "history.db"
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(history))
    history.parent.mkdir()
    count = iter(range(1, 100))

    def submitted(step_s: float, **facts: Any) -> str:
        job = Workload.of(model="phi2", samples=32_000, batch_size=8, gpus=8, gpu="h100-sxm", step_time=0.5)
        began_s = T0 + next(count) * 86400
        folder = write_submitted("train", tmp_path / "runs", history, estimate_workload(job), began_s, facts)
        write_ended(folder, Course(steps=500, step_s=step_s), began_s)
        return folder.name

    return submitted


def test_compare_says_which_is_faster_and_what_differs(
    submit: Callable[..., str], in_process: Command
) -> None:
    first = submit(0.5, packages=["torch==2.4.0"], git={"commit": "a" * 40, "dirty": True})
    second = submit(0.4, packages=["torch==2.5.1"], git={"commit": "a" * 40, "dirty": False})
    text = in_process("history", "compare", first, second).stdout
    assert text.startswith(f"{second} is 25.0% faster: 160 samples/s, the other 128; more than chance")
    document = json.loads(in_process("history", "compare", first, second, "--json").stdout)
    assert document["speed_ratio"] == pytest.approx(1.25)
    assert [each["what"] for each in document["differences"]] == ["torch", "git"]


def test_compare_with_a_run_that_is_not_there_is_one_line(
    submit: Callable[..., str], in_process: Command
) -> None:
    done = in_process("history", "compare", submit(0.5), "nothing-like-it")
    assert done.returncode == 2
    assert "'nothing-like-it' is not in the history" in done.stderr


def test_compare_of_a_run_with_itself_is_one_line(submit: Callable[..., str], in_process: Command) -> None:
    run = submit(0.5)
    done = in_process("history", "compare", run, "train")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{run}: both are this one run" in done.stderr


def test_a_slower_run_is_noted_in_its_report_and_its_status(
    submit: Callable[..., str], in_process: Command
) -> None:
    for step_s in (0.5, 0.501, 0.499):
        submit(step_s, packages=["torch==2.4.0"])
    slow = submit(0.55, packages=["torch==2.5.1"])
    report = json.loads(in_process("report", slow, "--json").stdout)
    status = json.loads(in_process("status", slow, "--json").stdout)["runs"][0]
    for document in (report, status):
        (note,) = document["notes"]
        assert note["code"] == "slower"
        assert "torch 2.5.1, not 2.4.0" in note["text"]
