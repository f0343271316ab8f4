"""The note on precision: made where another one than the planned was observed, and only there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan import Precision
from clusterplan.estimator.gpu_use.precision import find_precision_notes
from clusterplan.launcher.run_folder.folder import create_run_folder, register_run, write_json

BF16, FP16, FP32, TF32, FP8 = (Precision(p) for p in ("bf16", "fp16", "fp32", "tf32", "fp8"))


@dataclass
class Gpu:
    sm_active: float | None = None
    tensor_active: float | None = None
    uuid: str = "GPU-0"

    @property
    def metrics(self) -> dict[str, Any]:
        return {"sm_active_mean": self.sm_active, "tensor_active_mean": self.tensor_active}


IDLE, WORKED, TOO_LITTLE = Gpu(0.8, 0.0001), Gpu(0.8, 0.05), Gpu(0.1, 0.0)


def text(*arguments: Any) -> Any:
    notes = find_precision_notes(*arguments)
    return notes[0].text if notes else ""


@pytest.mark.parametrize(("planned", "seen"), [(BF16, FP32), (FP16, FP32), (BF16, FP16), (FP32, BF16)])
def test_another_precision_than_planned_is_a_note(planned: Any, seen: Any) -> None:
    assert text(planned, seen, []).startswith(
        f"the run was planned in {planned}, but its tracker saw it train in {seen}; "
    )


@pytest.mark.parametrize(
    ("planned", "seen"),
    [
        (BF16, BF16),
        (TF32, FP32),  # tensors of both are called float32
        (FP8, BF16),  # what an fp8 module gives
        (FP8, FP32),
        (BF16, None),
        (None, FP32),
        (Precision.AUTO, FP32),
    ],
)
def test_no_note_where_both_agree_or_cannot_be_compared(planned: Any, seen: Any) -> None:
    assert text(planned, seen, []) == ""


@pytest.mark.parametrize("planned", [TF32, FP16, BF16, FP8])
def test_idle_tensor_cores_of_busy_gpus_are_a_note(planned: Any) -> None:
    assert "they idled while the GPUs worked, as in fp32" in text(planned, None, [IDLE, IDLE])


@pytest.mark.parametrize(
    ("planned", "seen", "gpus"),
    [
        (BF16, None, [WORKED]),
        (BF16, None, [IDLE, WORKED]),
        (BF16, None, [TOO_LITTLE]),
        (BF16, None, [Gpu()]),
        (BF16, None, [Gpu(0.8, None)]),
        (BF16, None, []),
        (BF16, BF16, [IDLE]),  # some models have few products
        (FP32, None, [IDLE]),
        (None, None, [IDLE]),
    ],
)
def test_no_note_on_tensor_cores_that_worked_or_were_not_measured(
    planned: Any, seen: Any, gpus: list[Any]
) -> None:
    assert text(planned, seen, gpus) == ""


@pytest.fixture
def reported(clusterplan: Command, tmp_path: Path) -> Callable[..., Any]:
    """The report of a run planned in bf16, of which the tracker wrote that."""

    def report(*dtypes: Any, json_: bool = True, **start: Any) -> Any:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        facts = {"kind": "submit", "shape": {"precision": "bf16"}, "began_s": now.timestamp()}
        folder = create_run_folder("train", tmp_path / "runs", now, facts)
        lines = [{"kind": "start", "time_s": 1, "step": 0, **start}]
        lines += [{"kind": "dtype", "time_s": 2, "step": 1, "dtype": dtype} for dtype in dtypes]
        (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        write_json(
            folder / "status.json", {"state": "completed", "exit_code": 0, "ended_s": now.timestamp() + 9}
        )
        path = tmp_path / "h" / "history.db"
        register_run(folder, path)
        done = clusterplan("report", *["--json"] * json_, env=os.environ | {"CLUSTERPLAN_HISTORY": str(path)})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if json_ else done.stdout

    return report


def test_the_report_says_what_the_tracker_saw(reported: Callable[..., Any]) -> None:
    document = reported("float32")
    assert (document["precision_planned"], document["precision_seen"]) == ("bf16", "fp32")
    assert [note["code"] for note in document["notes"]] == ["precision"]


def test_the_dtype_of_the_script_counts_where_the_tracker_saw_none(reported: Callable[..., Any]) -> None:
    assert reported(dtype="float32")["precision_seen"] == "fp32"
    assert reported("bfloat16", dtype="float32")["precision_seen"] == "bf16"


def test_a_run_as_planned_has_a_line_in_its_head_and_no_note(reported: Callable[..., Any]) -> None:
    output = reported("bfloat16", json_=False)
    (line,) = [line for line in output.splitlines() if line.startswith("precision")]
    assert line.split() == ["precision", "bf16", *"as planned, says its tracker".split()]
    assert "planned in" not in output


def test_a_run_without_an_observed_precision_has_no_line_on_it(reported: Callable[..., Any]) -> None:
    assert "precision" not in reported(json_=False)


def observed_dtypes(folder: Path, script: Any, **variables: Any) -> list[Any]:
    """What `track` writes of a training script's number format."""
    code = "from clusterplan import track\n" + script
    environment = {**os.environ, "CLUSTERPLAN_RUN_FOLDER": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [line["dtype"] for line in lines if line["kind"] == "dtype"]


def test_a_script_without_torch_has_none(tmp_path: Path) -> None:
    script = (
        "import sys\nsteps = track('ab')\nfor _ in steps: steps.loss(1.0)\nassert 'torch' not in sys.modules"
    )
    assert observed_dtypes(tmp_path, script) == []


TRAINS = """
import contextlib, torch
from clusterplan import mixed_precision
bf16 = lambda: torch.autocast("cpu", dtype=torch.bfloat16)
{before}
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)){model}
steps = track(range(5))
for _ in steps:
    with {inside}:
        loss = model(torch.ones(4, 8{like})).float().square().mean()
    {noted}
    loss.backward()
"""
PLAIN = {
    "before": "",
    "model": "",
    "inside": "contextlib.nullcontext()",
    "like": "",
    "noted": "steps.loss(loss)",
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ["float32"]),
        ({"inside": "bf16()"}, ["bfloat16"]),
        ({"model": ".bfloat16()", "like": ", dtype=torch.bfloat16"}, ["bfloat16"]),
        ({"before": "autocast, _ = mixed_precision()", "inside": "autocast()", "noted": ""}, ["bfloat16"]),
        ({"before": "bf16().__enter__()", "noted": ""}, ["bfloat16"]),
        ({"noted": "steps.loss(loss.item())"}, []),  # nothing hangs on a number
        ({"inside": "bf16()", "noted": "steps.loss(loss.detach())"}, []),
        ({"noted": ""}, []),
    ],
)
def test_the_number_format_of_a_torch_script_is_observed_once_or_not_at_all(
    tmp_path: Path, changed: dict[str, Any], expected: list[Any]
) -> None:
    pytest.importorskip("torch", reason="torch is not installed; `make frameworks` runs this with it")
    script = TRAINS.format(**{**PLAIN, **changed})
    assert observed_dtypes(tmp_path, script, CLUSTERPLAN_PRECISION="bf16") == expected


def test_a_function_that_hides_what_it_computes_is_not_taken_for_float32(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed; `make frameworks` runs this with it")
    before = (
        "from torch.utils.checkpoint import checkpoint\n"
        "class Hidden(torch.nn.Module):\n"
        "    def __init__(self): super().__init__(); self.inner = torch.nn.Linear(8, 8)\n"
        "    def forward(self, x): return checkpoint(self.inner, x.requires_grad_(), use_reentrant=True)\n"
    )
    script = TRAINS.replace("torch.nn.ReLU()", "Hidden()").format(**{**PLAIN, "before": before})
    assert observed_dtypes(tmp_path, script) == []
