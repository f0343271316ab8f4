"""The accuracy benchmark scores two tables of step times, plays by its rules, and the product's path leads there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import rivals
from measured_runs import Run, read_tables
from protocols import configuration, pilot_episodes, source_episodes
from scores import OURS, Answer, error_by_factor, macro, score_sources

PROGRAM = ROOT / "benchmarks" / "accuracy.py"
TRACES = "series,dataset,model,gputype,num_nodes,num_gpus,gpus_per_node,local_bsz,step_time\n"
TABLES = "source,series,model,gpu,nodes,gpus,gpus_per_node,batch_size,accumulation,tensor_parallel,pipeline_parallel,model_parallel,strategy,precision,seq_len,parameters,step_time_s\n"


def step_s(nodes: int, each: int, batch: int) -> float:
    return 0.05 + 0.01 * batch + 0.03 * (each > 1) + 0.1 * (nodes > 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shapes = [(nodes, each, batch) for nodes in (1, 2) for each in (1, 4) for batch in (8, 32)]
    traces = [
        f"m@{gpu},old,m,{gpu},{n},{n * g},{g},{b},{step_s(n, g, b)}\n"
        for gpu in ("c", "d")
        for n, g, b in shapes
    ]
    tables = [
        f"new,new/m,m,e,{n},{n * g},{g},{b},1,1,1,1,ddp,bf16,,,{step_s(n, g, b)}\n" for n, g, b in shapes
    ]
    data = tmp_path_factory.mktemp("data")
    (data / "step_times.csv").write_text(TRACES + "".join(traces))
    (data / "measured_steps.csv").write_text(TABLES + "".join(tables))
    return data


def run_program(*arguments: str | Path) -> str:
    command = [sys.executable, PROGRAM, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    (folder / "page.md").write_text(
        "before\n<!-- make accuracy writes this -->\nstale\n<!-- to here -->\nafter\n"
    )
    return run_program(folder, "--page", folder / "page.md", "--json", folder / "errors.json")


def numbers(table: str, first: str) -> list[float]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {first} |"))
    return [float(cell) for cell in line.strip("| ").split("|")[1:]]


@pytest.mark.slow
def test_ours_beats_linear_scaling_beyond_what_was_measured(output: str) -> None:
    assert sum(numbers(output, "clusterplan")) < sum(numbers(output, "linear"))


def test_the_page_gets_both_sources_and_its_pictures(folder: Path, output: str) -> None:
    assert "## few" in output
    page = (folder / "page.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "stale" not in page
    assert "| new |" in page
    assert "| old |" in page
    for name in ("calibration", "distance"):
        assert (folder / f"accuracy-{name}.svg").read_text().startswith("<svg ")


@pytest.mark.usefixtures("output")
def test_a_result_compared_with_itself_does_not_count(folder: Path) -> None:
    compared = run_program("--compare", folder / "errors.json", folder / "errors.json")
    assert "+0.0 ± 0.0" in compared
    assert compared.count("does not count") == 3
    assert set(json.loads((folder / "errors.json").read_text())) == {"gpus", "few", "one"}


def test_priors_drawn_at_random_stand_beside_the_delivered_one(folder: Path) -> None:
    printed = run_program(folder, "--priors", "1")
    delivered, *drawn = (
        float(x) for x in next(x for x in printed.splitlines() if "| few |" in x).split("|")[2:6]
    )
    assert delivered > 0
    assert len(set(drawn)) == 1
    assert "| 0 of 1 |" in printed or "| 1 of 1 |" in printed


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "give the folder with measured_steps.csv and step_times.csv: make accuracy DATA=FOLDER"),
        (
            ["nowhere"],
            "nowhere/step_times.csv: no such file; give a folder with measured_steps.csv and step_times.csv",
        ),
    ],
)
def test_without_data_one_line_says_what_to_give(arguments: list[str], line: str) -> None:
    run = subprocess.run([sys.executable, PROGRAM, *arguments], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr.strip()) == (1, line)


def test_a_table_without_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "measured_steps.csv").write_text("source,series\nnew,new/m\n")
    with pytest.raises(SystemExit, match="no column model"):
        read_tables(tmp_path / "measured_steps.csv")


def test_the_asked_have_more_gpus_than_the_given_and_are_never_among_them(folder: Path) -> None:
    runs = read_tables(folder / "measured_steps.csv")
    episodes = list(source_episodes(runs))
    assert [e.task for e in episodes] == ["gpus"] * 3 + ["one"] + ["few"] * 2
    for episode in episodes:
        if episode.task == "gpus":
            assert max(r.gpus for r in episode.runs) < min(r.gpus for r in episode.asked)
        assert not {configuration(r) for r in episode.runs} & {configuration(r) for r in episode.asked}


def test_pilot_runs_begin_on_one_gpu_and_stay_on_half_of_the_largest_job(folder: Path) -> None:
    for episode in pilot_episodes(read_tables(folder / "measured_steps.csv")):
        assert episode.runs[0].gpus == 1
        assert max(r.gpus for r in episode.runs) <= 4


def run(gpus: int, step_time_s: float) -> Run:
    return Run("s", "s/m", "m", "g", "", "ddp", 1, gpus, gpus, 32, 1, 1, 1, 1, None, None, step_time_s)


@pytest.mark.parametrize("method", [rivals.linear, rivals.ernest, rivals.pollux])
def test_every_rival_fits_a_series_that_scales_perfectly(
    method: Callable[[list[Run], list[Run]], np.ndarray],
) -> None:
    runs = [run(gpus, 0.4) for gpus in (1, 2, 4)]
    assert method(runs, [run(8, 1.0)]) == pytest.approx(0.4, rel=0.05)


def one_answer(source: str, series: str, error: float, n: int) -> Answer:
    errors = dict.fromkeys((OURS, "linear", "Ernest"), np.full(n, error))
    truth_at_most = np.tile([False, True, True], (n, 1))
    ones = np.ones(n)
    return Answer("few", source, series, 2, errors, truth_at_most, ones > 0, ones > 0, ones, ones, ones > 1)


def test_each_source_counts_once_and_each_series_once_within_it() -> None:
    answers = [
        one_answer("a", "a/1", 0.1, 30),
        one_answer("a", "a/2", 0.3, 10),
        one_answer("b", "b/1", 0.4, 10),
    ]
    by_source = score_sources(answers, "few")
    assert [by_source[name].mean[OURS] for name in "ab"] == pytest.approx([0.2, 0.4])
    assert macro(s.mean[OURS] for s in by_source.values()) == pytest.approx((0.3, 0.1))
    (near, sources), (far, none) = error_by_factor(answers, OURS, (1, 2))
    assert (sources, none) == (2, 0)
    assert near == pytest.approx(0.3)
    assert np.isnan(far)
