"""Throughputs measured elsewhere: entered by flags or a CSV file, once, and with faults said by their place."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan import Precision
from clusterplan.estimator.history.runs import History

ONE = "--model phi2 --gpu h100-sxm --gpus 8 --batch-size 32 --step-time 5".split()
HEADER = "model,gpu,gpus,batch_size,precision,samples_per_s,when"
ROWS = "phi2,h100-sxm,8,32,bf16,51.2,2026-11-01\nphi2,h100-sxm,16,32,bf16,96,2026-11-02\n"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERPLAN_HISTORY", str(tmp_path / "h" / "history.db"))


@pytest.fixture
def add(in_process: Command) -> Callable[..., Any]:
    return lambda *args: in_process("history", "add", *args)


@pytest.fixture
def there(tmp_path: Path) -> Callable[..., Any]:
    def read(model: Any = None) -> Any:
        with History(tmp_path / "h" / "history.db") as db:
            return db.measurements(model)

    return read


def csv_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "old.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_by_flags(clusterplan: Command, there: Callable[..., Any]) -> None:
    done = clusterplan("history", "add", *ONE, "--date", "2026-11-01", "--source", "old log")
    assert (done.returncode, done.stdout) == (0, "1 measurement of phi2 entered\n")
    (found,) = there("phi2")
    assert (found.nodes, found.gpus_per_node, found.step_time_s) == (1, 8, 5)
    assert (found.precision, found.source) == (Precision.BF16, "old log")
    assert found.when == datetime.fromisoformat("2026-11-01").astimezone(UTC)


@pytest.mark.parametrize(
    ("rate", "step_time_s"),
    [
        ("--samples-per-s 512", 0.5),
        ("--samples-per-s-per-gpu 64", 0.5),
        ("--tokens-per-s 1_048_576 --seq-len 2048", 0.5),
        ("--tokens-per-s-per-gpu 131_072 --seq-len 2048", 0.5),
        ("--tokens-per-s-per-gpu 131.072k --seq-len 2048", 0.5),
        ("--tokens-per-s 1,048,576.0 --seq-len 2048", 0.5),  # as MaxText prints them
        ("--step-time 0.5", 0.5),
        ("--step-time 2it/s", 0.5),
        ("--samples-per-s 512 --accumulation 4", 2.0),
        ("--samples-per-s 512 --model-parallel 2", 0.25),
    ],
)
def test_every_way_to_say_a_throughput(
    add: Callable[..., Any], there: Callable[..., Any], rate: str, step_time_s: float
) -> None:
    assert add(*ONE[:-2], *rate.split()).returncode == 0
    assert there()[0].step_time_s == pytest.approx(step_time_s)


@pytest.mark.parametrize(
    ("flags", "split"),
    [
        ("", (1, 1, 1)),
        ("--tensor-parallel 4 --pipeline-parallel 2", (8, 4, 2)),
        ("--tensor-parallel 4", (4, 4, 1)),
        (
            "--model-parallel 8 --tensor-parallel 2 --pipeline-parallel 1",
            (8, 2, 1),
        ),  # the rest shares sequences
        ("--model-parallel 8", (8, None, None)),
    ],
)
def test_the_split_of_a_replica_is_kept_as_far_as_it_is_known(
    add: Callable[..., Any], there: Callable[..., Any], flags: str, split: tuple[int | None, ...]
) -> None:
    assert add(*ONE, *flags.split()).returncode == 0
    (run,) = there()
    assert (run.model_parallel, run.tensor_parallel, run.pipeline_parallel) == split


def test_runs_that_differ_in_zero_stage_or_cluster_are_both_kept(
    add: Callable[..., Any], there: Callable[..., Any]
) -> None:
    for more in ("", "--zero-stage 2", "--zero-stage 3", "--zero-stage 3 --cluster here", "--zero-stage 3"):
        assert add(*ONE, *more.split()).returncode == 0
    assert sorted((m.zero_stage or 0, m.cluster or "") for m in there()) == [
        (0, ""),
        (2, ""),
        (3, ""),
        (3, "here"),
    ]


# mosaicml/llm-foundry, scripts/train/benchmarking: MPT-7B, FSDP, 8 H100 of 80 GB, 2,048 tokens, bf16.
def test_a_csv_file_without_an_end_is_refused(add: Callable[..., Any]) -> None:
    done = add("--csv", "/dev/zero")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: /dev/zero: is larger than 16 MB, which no table of measurements is\n"


def test_a_csv_file_says_how_large_the_model_is_and_where_it_ran(
    add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path
) -> None:
    text = (
        "model,gpu,gpus,batch_size,tokens_per_s,seq_len,zero_stage,parameters,trainable_parameters,cluster\n"
        "mpt-7b,h100-sxm,8,32,77_000,2048,3,6.658e9,4e6,mine\n"
    )
    assert add("--csv", csv_file(tmp_path, text)).returncode == 0
    (run,) = there("mpt-7b")
    assert (run.zero_stage, run.cluster, run.parameters, run.trainable_parameters) == (
        3,
        "mine",
        6_658_000_000,
        4_000_000,
    )


def test_a_gpu_is_known_by_any_of_its_names(add: Callable[..., Any], there: Callable[..., Any]) -> None:
    add(*ONE[:2], "--gpu", "NVIDIA H100 80GB HBM3", *ONE[4:])
    assert there()[0].gpu == "h100-sxm"


def test_a_gpu_that_is_in_no_catalogue_is_kept_and_said(
    add: Callable[..., Any], there: Callable[..., Any]
) -> None:
    done = add(*ONE[:2], "--gpu", "TPU v9", "--precision", "bf16", *ONE[4:])
    assert "'TPU v9' is not in the catalogue" in done.stderr
    assert there()[0].gpu == "TPU v9"


def test_many_by_a_file(add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path) -> None:
    done = add("--csv", csv_file(tmp_path, f"{HEADER}\n{ROWS}"))
    assert done.stdout == "2 measurements of phi2 entered\n"
    assert [(m.gpus, m.nodes, m.source) for m in there()] == [(16, 2, "old.csv"), (8, 1, "old.csv")]


def test_seconds_of_a_column_need_no_unit(
    add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path
) -> None:
    head = "model,gpu,gpus,batch_size,step_time_s,startup_s,evaluation_s,checkpoint_s"
    assert add("--csv", csv_file(tmp_path, f"{head}\nphi2,h100-sxm,8,32,5,70.5,2m,0.01\n")).returncode == 0
    (one,) = there()
    assert (one.startup_s, one.evaluation_s, one.checkpoint_s) == (70.5, 120, 0.01)


def test_nothing_is_entered_twice(add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{HEADER}\n{ROWS}{ROWS}")
    assert "2 measurements not entered: the history has them" in add("--csv", path).stderr
    again = add("--csv", path)
    assert (again.returncode, again.stdout) == (0, "0 measurements entered\n")
    assert len(there()) == 2


def test_the_same_without_a_date_is_the_same_tomorrow(add: Callable[..., Any]) -> None:
    add(*ONE, "--date", "2026-11-01")
    assert add(*ONE).stdout == "0 measurements entered\n"
    assert add(*ONE, "--date", "2026-11-02").stdout == "1 measurement of phi2 entered\n"


def test_it_enters_through_a_run_folder(
    add: Callable[..., Any], there: Callable[..., Any], in_process: Command, tmp_path: Path
) -> None:
    add(*ONE)
    (tmp_path / "h" / "history.db").unlink()
    in_process("history", "import")
    assert len(there()) == 1
    (run,) = json.loads(in_process("history", "list", "--json").stdout)
    assert (run["state"], run["gpus"]) == ("entered", 0)


def test_what_was_entered_is_shown_and_can_be_taken_back(
    add: Callable[..., Any], there: Callable[..., Any], in_process: Command, tmp_path: Path
) -> None:
    add("--csv", csv_file(tmp_path, f"{HEADER}\n{ROWS}"))
    text = in_process("history", "show").stdout
    assert "phi2      8  h100-sxm           32  bf16             5 s  old.csv" in text
    assert in_process("history", "list").stdout.endswith("entered\n")  # and no 0 GPUs
    assert "not known" not in text  # nobody asked how long it took, nor on how busy GPUs
    found = json.loads(in_process("history", "show", "--json").stdout)
    assert [m["gpus"] for m in found["measurements"]] == [16, 8]
    assert in_process("history", "remove", found["run"]).stdout == "2 measurements removed\n"
    assert there() == []
    assert json.loads(in_process("history", "list", "--json").stdout) == []
    assert not (tmp_path / "runs" / found["run"]).exists()


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        ("--tensor-parallel 4 --pipeline-parallel 2 --zero-stage 1", "tensor 4 x pipeline 2, ZeRO 1"),
        ("--model-parallel 8 --tensor-parallel 2 --pipeline-parallel 1", "tensor 2 x context 4"),
        ("--model-parallel 8", "8 GPUs per replica"),
        ("--zero-stage 3", "ZeRO 3"),
    ],
)
def test_how_a_model_was_split_is_shown(
    add: Callable[..., Any], in_process: Command, flags: str, shown: str
) -> None:
    add(*ONE, *flags.split())
    header, row = in_process("history", "show").stdout.splitlines()[-2:]
    assert row[header.index("parallelism") : header.index("source")].rstrip() == shown


@pytest.mark.parametrize(("model", "there"), [("PHI", 1), ("llama", 0)])
def test_what_was_entered_is_found_by_its_model(
    add: Callable[..., Any], in_process: Command, tmp_path: Path, model: str, there: int
) -> None:
    add("--csv", csv_file(tmp_path, f"{HEADER}\n{ROWS}"))  # named like the file
    assert len(json.loads(in_process("history", "list", "--json", "--model", model).stdout)) == there


def test_no_run_is_removed(add: Callable[..., Any], clusterplan: Command) -> None:
    add(*ONE)
    clusterplan("sample", "--name", "kept", "--", "true")
    (kept,) = [
        r["run"] for r in json.loads(clusterplan("history", "list", "--json").stdout) if r["name"] == "kept"
    ]
    done = clusterplan("history", "remove", kept)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{kept}' is not the whole id of an entry by `history add`" in done.stderr


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "has no measurement"),
        (f"{HEADER}\n", "has no measurement"),
        ("model;gpu\n", "old.csv:1: the columns are separated by ';': separate them by commas"),
        ("model,gpuz\n", "old.csv:1: 'gpuz' is not a column"),
        ("model,model\n", "old.csv:1: column 'model' stands twice: give it once"),
        (f"{HEADER}\n{ROWS}phi2,8\n", "old.csv:4: has 2 cells, but the file has 7 columns"),
        (f"{HEADER}\n\nphi2,,8,32,bf16,-3,\n", "old.csv:3: samples_per_s: '-3' must be greater than 0"),
        (f"{HEADER}\nphi2,,8,32,bf16,nan,\n", "old.csv:2: samples_per_s: 'nan'"),
        (f"{HEADER}\nphi2,,8,,bf16,1,\n", "old.csv:2: batch_size: is missing"),
        (f"{HEADER}\nphi2,,8,32,,1,\n", "old.csv:2: the precision is missing"),
        (f"{HEADER}\nphi2,,8,32,bf16,,\n", "old.csv:2: no throughput is given"),
        (f"{HEADER}\nphi2,,8,32,int3,1,\n", "old.csv:2: precision: 'int3' must be one of"),
        (f"{HEADER}\nphi2,,8,32,bf16,1,yesterday\n", "old.csv:2: when: 'yesterday' is not a date"),
        (f'{HEADER}\n"phi2,,8,32,bf16,1,\n', "old.csv:2: is not a line of CSV"),
    ],
)
def test_a_fault_is_said_with_its_line_and_nothing_is_entered(
    add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path, text: str, wrong: str
) -> None:
    done = add("--csv", csv_file(tmp_path, text))
    assert done.returncode == 2
    assert wrong in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert there() == []


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        ([], "nothing to enter"),
        ([*ONE[:-2]], "no throughput is given"),
        ([*ONE, "--samples-per-s", "3"], "step_time_s and samples_per_s are given"),
        ([*ONE, "--nodes", "9"], "9 nodes for 8 GPUs"),
        ([*ONE, "--model-parallel", "3"], "8 GPUs cannot be split: a replica takes 3; give a multiple of 3"),
        ([*ONE, *"--tensor-parallel 3".split()], "8 GPUs cannot be split: a replica takes 3"),
        (
            [*ONE, *"--model-parallel 4 --tensor-parallel 4 --pipeline-parallel 2".split()],
            "model_parallel 4 is not a multiple of tensor x pipeline parallel, 8",
        ),
        ([*ONE, "--zero-stage", "4"], "--zero-stage: '4' must be at most 3"),
        ([*ONE, "--gpus", "0"], "--gpus: 0 must be greater than 0"),
        ([*ONE, "--date", "soon"], "--date: 'soon' is not a date"),
        ([*ONE, "--gpu", "a100"], "is ambiguous"),
        (["--csv", "absent.csv"], "absent.csv: cannot be read: No such file"),
        (["--csv", "x.csv", "--gpus", "8"], "--gpus: does not go with --csv: the file has a column for it"),
    ],
)
def test_a_wrong_flag_is_one_line(add: Callable[..., Any], flags: list[Any], wrong: str) -> None:
    done = add(*flags)
    assert done.returncode == 2
    assert wrong in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_milliseconds_for_seconds_are_suspected(add: Callable[..., Any], there: Callable[..., Any]) -> None:
    add(*ONE)
    done = add(*ONE[:-4], "--batch-size", "16", "--step-time", "2500")
    assert done.returncode == 0
    assert "8 GPUs with a micro-batch of 16 at 2,500 s per step" in done.stderr
    assert "times slower than the other runs allow: is its unit seconds?" in done.stderr
    assert len(there()) == 2


def test_thousands_are_entered_at_once(
    add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path
) -> None:
    rows = "".join(f"phi2,h100-sxm,8,{batch},bf16,51.2,2026-11-01\n" for batch in range(1, 2_001))
    assert add("--csv", csv_file(tmp_path, f"{HEADER}\n{rows}")).returncode == 0
    assert len(there()) == 2_000


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        (("--date", "2062-11-10"), "the date 2062-11-10 of phi2 is in the future"),
        (("--date", "9999-12-31T23:59:59-12:00"), "is in the future"),
        (("--model", "m\udcff"), "must be one line of text"),
    ],
)
def test_what_could_never_be_read_back_is_not_entered(
    clusterplan: Command, there: Callable[..., Any], more: tuple[str, str], wrong: str
) -> None:
    done = clusterplan("history", "add", *ONE, *more)
    assert (done.returncode, there()) == (2, [])
    assert wrong in done.stderr


def test_a_value_that_cannot_be_kept_stops_that_run_alone(
    add: Callable[..., Any], there: Callable[..., Any], tmp_path: Path
) -> None:
    add(*ONE)
    (bad,) = (tmp_path / "h" / "history.runs").iterdir()
    facts = json.loads((bad / "run.json").read_text())
    facts["measurements"][0] |= {"model": "other", "n_steps": 10**30}
    worse = bad.resolve().with_name("worse-20261125T000000-0001")
    worse.mkdir()
    (worse / "run.json").write_text(json.dumps({**facts, "run": worse.name}))
    (worse / "status.json").write_text((bad / "status.json").read_text())
    (tmp_path / "h" / "history.runs" / worse.name).symlink_to(worse)
    done = add(*ONE, "--gpus", "16")
    assert done.returncode == 0
    assert f"not collected: {worse.name}: run.json: measurements: n_steps: a huge number" in done.stderr
    assert sorted(one.gpus for one in there()) == [8, 16]
