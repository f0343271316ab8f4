"""Unmodified scripts of the frameworks on this machine: steps, speed, loss, the time left and a measurement.

`make frameworks` runs this, in a virtual environment of its own.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed; `make frameworks` has it")
pytest.importorskip("transformers")
pytest.importorskip("lightning")

SCRIPTS = Path(__file__).parent / "scripts"
TRAINER = ("--use_cpu", "--max_steps", "300", "--per_device_train_batch_size", "8", "--logging_steps", "10")
EVALUATING = (
    "--eval_strategy",
    "steps",
    "--eval_steps",
    "100",
    "--save_steps",
    "100",
    "--output_dir",
    "{output}",
)


def train(launched: Any, script: str, *arguments: str, more: str = "") -> tuple[Any, list[Any], list[Any]]:
    """Run a script to its end; return its last status, those while it ran, and its lines of progress."""
    words = json.dumps([sys.executable, str(SCRIPTS / script), *arguments])
    text = (
        f'name = "{Path(script).stem}"\nmodel = "tiny"\n[data]\nsamples = 2400\n[training]\nbatch_size = 8\ngpus = 1\n'
        f"[run]\ncommand = {words}\nbootstrap = 'single'\n{more}"
    )
    launched.environment["OMP_NUM_THREADS"] = "1"  # several threads of a busy machine wait for each other
    run = launched.submit("--executor", "local", launched.file("job.toml", text))
    seen = list[Any]()
    while (status := launched.status(run["run"]))["state"] in ("pending", "running"):
        seen.append(status)
        time.sleep(1)
    printed = launched("logs", run["run"]).stdout
    assert status["state"] == "completed", printed
    progress = (Path(run["folder"]) / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    return status, seen, [json.loads(line) for line in progress]


def check(launched: Any, status: Any, seen: list[Any], steps: int) -> None:
    """All steps are counted, the time left was known while it ran, and the next estimate is measured."""
    assert (status["steps_done"], status["steps_total"]) == (steps, steps)
    lefts = [each["eta_s"] for each in seen if each["eta_s"] is not None]
    assert lefts
    assert lefts[-1] < 60
    done = launched("estimate", "--json", "job.toml")
    assert json.loads(done.stdout)["source"]["kind"] == "measured"


def test_trainer(launched: Any) -> None:
    status, seen, lines = train(launched, "hf_evaluating.py", *TRAINER, *EVALUATING)
    check(launched, status, seen, 300)
    assert status["steps_source"].startswith("bar:")
    assert status["loss"] > 0
    assert [line["step"] for line in lines if line["kind"] == "evaluation"] == [100, 200, 300]
    assert [line["step"] for line in lines if line["kind"] == "pause" and line["what"] == "evaluation"][
        :2
    ] == [100, 200]


def test_trainers_callback(launched: Any) -> None:
    status, seen, lines = train(launched, "hf_evaluating.py", "--callback", *TRAINER, *EVALUATING)
    check(launched, status, seen, 300)
    assert status["steps_source"] == "track"
    pauses = [
        (line["what"], line["step"]) for line in lines if line["kind"] == "pause" and "source" not in line
    ]
    assert pauses == [(what, step) for step in (100, 200, 300) for what in ("evaluation", "checkpoint")]


def test_trainer_without_its_bar(launched: Any) -> None:
    """Only the dicts are left, which have the epoch and no step."""
    status, _, _ = train(
        launched, "hf_evaluating.py", *TRAINER, "--disable_tqdm", "True", "--output_dir", "{output}"
    )
    assert abs(status["steps_done"] - 300) <= 1


def test_lightning(launched: Any) -> None:
    status, seen, _ = train(launched, "lightning_bar.py", "{output}")
    check(launched, status, seen, 300)


def test_lightnings_files(launched: Any) -> None:
    status, _, _ = train(launched, "lightning_bar.py", "{output}", "--files")
    assert (status["steps_done"], status["steps_source"]) == (300, "file:lightning-csv")


def test_lightnings_callback(launched: Any) -> None:
    status, seen, lines = train(launched, "lightning_bar.py", "{output}", "--callback")
    check(launched, status, seen, 300)
    assert status["steps_source"] == "track"
    assert [line["step"] for line in lines if line["kind"] == "pause" and "source" not in line] == [
        100,
        200,
        300,
    ]


def test_accelerate(launched: Any) -> None:
    status, seen, _ = train(launched, "accelerate_bar.py")
    check(launched, status, seen, 400)


def test_torch_with_lines_of_its_own(launched: Any) -> None:
    pattern = r"log_pattern = '\[(?P<step>\d+)/(?P<total_steps>\d+)\] loss=(?P<loss>\S+)'"
    status, seen, _ = train(launched, "torch_lines.py", more=f"{pattern}\n")
    check(launched, status, seen, 400)
    assert status["loss"] is not None
