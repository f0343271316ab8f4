"""Step counts: the vectors of every framework, a slow reference, and the edges."""

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import SCALE
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_steps import walk

from clusterplan.cli import main
from clusterplan.errors import WorkloadError
from clusterplan.estimator.estimate.steps import count, count_steps
from clusterplan.estimator.job.framework import STEP_RULES, Framework
from clusterplan.estimator.job.workload import Workload

VECTORS = list(
    csv.DictReader(Path(__file__).with_name("step_vectors.csv").read_text(encoding="utf-8").splitlines())
)
# Column: the flags that ask for it.
TOTALS = {
    "floor": ["--framework", "floor"],
    "hf": [],
    "hf-4.51": ["--framework", "hf-4.51"],
    "hf drop_last": ["--drop-last"],
    "lightning": ["--framework", "lightning"],
    "accelerate": ["--framework", "accelerate"],
    "deepspeed": ["--framework", "deepspeed"],
    "megatron": ["--framework", "megatron"],
}
BATCHES = {
    "torch batches": {},
    "torch batches drop_last": {"drop_last": True},
    "torch batches sampler_drop_last": {"sampler_drop_last": True},
    "torch batches both": {"drop_last": True, "sampler_drop_last": True},
}


def counted(framework: Any, row: Any, **extra: Any) -> Any:
    return count(
        Framework(framework),
        samples=int(row["N"]),
        batch_size=int(row["B"]),
        world=int(row["W"]),
        accumulation=int(row["G"]),
        epochs=Fraction(row["E"]),
        **extra,
    )


@pytest.mark.parametrize("column", TOTALS)
@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_steps_are_those_of_the_frameworks_own_code(row: Any, column: Any) -> None:
    expected, framework = row[column], column.split()[0]
    extra = {"drop_last": True} if column.endswith("drop_last") else {}
    if expected == "error":
        with pytest.raises(WorkloadError, match="drop_last leaves no batch"):
            counted(framework, row, **extra)
    elif expected != "n/a":
        assert counted(framework, row, **extra).total == int(expected)


@pytest.mark.parametrize("column", BATCHES)
@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_batches_are_those_of_torchs_own_sampler_and_loader(row: Any, column: Any) -> None:
    if row[column] == "0":
        with pytest.raises(WorkloadError, match="drop_last leaves no batch"):
            counted("torch", row, **BATCHES[column])
    else:
        assert counted("torch", row, **BATCHES[column]).batches == int(row[column])


@pytest.mark.parametrize("column", TOTALS)
@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["case"])
def test_the_command_line_counts_the_same(capsys: pytest.CaptureFixture[str], row: Any, column: Any) -> None:
    numbers = ["--samples", row["N"], "--batch-size", row["B"], "--gpus", row["W"]]
    numbers += ["--accumulation", row["G"], "--epochs", row["E"], "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["estimate", *numbers, *TOTALS[column]])
    printed = capsys.readouterr()
    if row[column].isdecimal():
        assert (ended.value.code, json.loads(printed.out)["steps"]["total"]) == (0, int(row[column]))
    else:
        assert ended.value.code == 2
        assert (
            "Lightning takes whole epochs: give 3" in printed.err
            or "drop_last leaves no batch" in printed.err
        )


shapes = st.fixed_dictionaries(
    {
        "samples": st.integers(1, 400),
        "batch_size": st.integers(1, 12),
        "world": st.integers(1, 9),
        "accumulation": st.integers(1, 7),
        "epochs": st.fractions(Fraction(1, 4), 5, max_denominator=8),
        "drop_last": st.booleans(),
        "sampler_drop_last": st.booleans(),
    }
)


@settings(max_examples=500 * SCALE, deadline=None)
@given(shapes)
def test_closed_forms_agree_with_the_walk(shape: Any) -> None:
    for framework, rule in STEP_RULES.items():  # to draw a shape takes longer than to walk it
        possible = {
            **shape,
            "drop_last": shape["drop_last"] and not rule.always_drops_last,
            "sampler_drop_last": shape["sampler_drop_last"] and rule.sampler_drop_last,
            "epochs": Fraction(max(round(shape["epochs"]), 1)) if rule.whole_epochs else shape["epochs"],
        }
        walked = walk(str(framework), **possible)
        if walked is None:
            with pytest.raises(WorkloadError):
                count(framework, **possible)
            continue
        got = count(framework, **possible)
        size = possible["batch_size"] * possible["world"] * possible["accumulation"]
        partial = [n for n in walked.steps if n < size]
        expected = (walked.total, walked.total - len(partial), (partial or [0])[-1], walked.batches)
        assert (got.total, got.full, got.last_partial_samples, got.batches) == expected, framework
        due = int(possible["samples"] * possible["epochs"])
        assert got.dropped_samples == max(due - sum(walked.steps), 0), framework


def test_full_steps_hold_every_sample_of_the_seed_case() -> None:
    steps = count_steps(Workload.of(samples=1_000_000, batch_size=32, gpus=8))
    assert (steps.total, steps.full, steps.last_partial_samples, steps.dropped_samples) == (3907, 3906, 64, 0)


def test_model_parallel_gpus_share_one_replica() -> None:
    job = Workload.of(samples=1_000_000, batch_size=32, gpus=64, tensor_parallel=4, pipeline_parallel=2)
    assert count_steps(job).total == 3907


@pytest.mark.parametrize(
    ("samples", "batch_size", "gpus", "sequence_parallel", "batches"),
    [(1000, 1, 8, 4, 500), (1001, 2, 16, 8, 256)],
)
def test_trainer_rounds_before_sequence_parallel_multiplies(
    samples: int, batch_size: int, gpus: int, sequence_parallel: int, batches: int
) -> None:
    # transformers 5: len_dataloader * sp_size, with the loader sharded over every GPU.
    job = Workload.of(samples=samples, batch_size=batch_size, gpus=gpus, sequence_parallel=sequence_parallel)
    assert count_steps(job).batches == batches


def test_tokens_become_packed_sequences_rounded_up() -> None:
    job = Workload.of(tokens=300e9, seq_len=2048, batch_size=1, gpus=1536, framework="megatron")
    assert count_steps(job).total == 95_367


def test_packing_makes_more_sequences() -> None:
    values = {
        "data": {"tokens": 10_000, "seq_len": 100, "packing": 0.9},
        "training": {"batch_size": 1, "gpus": 1},
    }
    assert count_steps(Workload.model_validate(values)).total == 112


def test_steps_never_use_floats() -> None:
    job = Workload.of(samples=999_999_999_999_999, batch_size=1, gpus=1, epochs="1000000")
    assert count_steps(job).total == 999_999_999_999_999_000_000


def test_a_short_step_runs_fewer_micro_batches() -> None:
    steps = count(Framework.HF, samples=600, batch_size=4, world=1, accumulation=128, epochs=Fraction(10))
    assert (steps.total, steps.micro_batches) == (20, 1500)
