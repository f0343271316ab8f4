"""Whatever the flags and files say: an answer, or one line and a proper exit code.  Never a traceback."""

import os
import tempfile
from pathlib import Path
from typing import Any

from conftest import SCALE, run_in_process
from hypothesis import given, settings
from hypothesis import strategies as st
from warm_program import Process

from clusterplan.estimator.job.workload import Workload, list_flags

NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(
        ["0", "1", "8", "1e3", "1e400", "30M", "0x10", "٣", "1_000", "-0", "2.5", "1e-300", "", "∞", "1/3"]
    ),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
WORDS = st.sampled_from(
    [
        "hf",
        "torch",
        "floor",
        "deepspeed",
        "bf16",
        "fp8",
        "auto",
        "slurm-a100",
        "h200",
        "a100",
        "gpu",
        "2d",
        "1h",
        "500 GPU-hours",
    ]
)
VALUES = NUMBERS | TEXT | WORDS
FLAGS = [flag for flag, _, field in list_flags() if field.annotation is not bool]
SWITCHES = [flag for flag, _, field in list_flags() if field.annotation is bool] + ["--explain", "--json"]
EXTRA = ["--keep", "--deadline", "--budget"]
USUAL = {"--samples": "100000", "--batch-size": "8", "--gpus": "8"}


def assert_civil(done: Any) -> None:
    if done.returncode == 0:
        assert done.stdout
        assert not done.stderr
    else:
        assert done.returncode in (2, 3)
        assert not done.stdout
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1


@settings(max_examples=240 * SCALE, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FLAGS + EXTRA), VALUES, max_size=6),
    st.lists(st.sampled_from(SWITCHES), max_size=3, unique=True),
)
def test_any_flags(values: Any, switches: Any) -> None:
    pairs = [f"{flag}={value}" for flag, value in {**USUAL, **values}.items()]
    assert_civil(run_in_process("estimate", *pairs, *switches))


def toml_value() -> Any:
    scalars = st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.floats().map(str),
        st.booleans().map(lambda b: str(b).lower()),
        TEXT.map(lambda t: '"' + "".join(c for c in t if c.isprintable() and c not in '"\\') + '"'),
        st.sampled_from(["2026-11-23", "[1, 2]", "{ a = 1 }", "8", "100", "1e18", '"hf"', '"30M"']),
    )
    return scalars | scalars.map(lambda s: f"[{s}]")


KEYS = {
    table: list(getattr(field.annotation, "model_fields", {})) or None
    for table, field in Workload.model_fields.items()
}
ENTRY = st.sampled_from(list(KEYS)).flatmap(
    lambda table: st.tuples(
        st.just(table), st.sampled_from(KEYS[table] or [table]) | st.just("nonsense"), toml_value()
    )
)


@settings(max_examples=160 * SCALE, deadline=None)
@given(st.lists(ENTRY, max_size=6), st.booleans())
def test_any_job_file(entries: Any, usual: Any) -> None:
    tables = {"data": {"samples": "100000"}, "training": {"batch_size": "8", "gpus": "8"}} if usual else {}
    top = {}
    for table, key, value in entries:
        if KEYS[table] is None:
            top[key] = value
        else:
            tables.setdefault(table, {})[key] = value
    lines = [f"{key} = {value}" for key, value in top.items() if key not in tables]
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {value}" for key, value in values.items())]
    assert_civil(run_on("\n".join(lines).encode()))


@settings(max_examples=100 * SCALE, deadline=None)
@given(st.binary(max_size=60) | TEXT.map(str.encode))
def test_any_bytes(content: Any) -> None:
    assert_civil(run_on(content))


def run_on(content: Any) -> Process:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.toml"
        path.write_bytes(content)
        found = run_in_process("estimate", path)
        assert os.listdir(folder) == ["job.toml"]  # noqa: PTH208  names are what matters
        return found
