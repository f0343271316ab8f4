"""Every training script of MoE-LLaVA and of LLaVA v1.5: `init` says what the published job says, and `submit` runs it."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, Command
from moe_llava import LLAVA, MOE_LLAVA, Stage, write_repository
from warm_program import Process

EXAMPLES = sorted(
    path for name in ("moe-llava", "llava-1.5") for path in (ROOT / "examples" / name).glob("*.toml")
)


@pytest.mark.parametrize("stage", [*MOE_LLAVA, *LLAVA], ids=lambda stage: stage.script)
def test_init_writes_the_published_job(
    stage: Stage, tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_repository(tmp_path, stage))
    assert in_process("init", stage.script, "--samples", stage.samples, "--gpus", 8).returncode == 0
    text = Path("job.toml").read_text()
    job = tomllib.loads(text)
    assert job["training"] == {
        "batch_size": stage.batch_size,
        "accumulation": stage.accumulation,
        "gpus": 8,
        "epochs": 1,
        "framework": "hf-4.51",
        "precision": "bf16",
        "zero_stage": stage.zero_stage,
        "recompute": True,
    }
    assert job["data"] == {"samples": stage.samples, "seq_len": 2048}
    assert job["evaluation"] == {"every_steps": 0}
    assert job["checkpoint"] == {"every_steps": stage.save_steps, "folder": f"./checkpoints/{stage.output}"}
    assert "FILL IN" not in text
    assert ("resume" in job["run"]) is not stage.is_of_projector  # LLaVA saves no state then
    assert f"{stage.steps:,}" in in_process("estimate", "job.toml").stdout.splitlines()[0]


@pytest.mark.parametrize("job", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_submitted(job: Path, in_process: Command) -> None:
    done = in_process("submit", job, "--dry-run", "--executor", "slurm")
    assert done.returncode == 0, done.stderr
    assert re.search(r"#SBATCH --gpus-per-node=(a100:)?8$", done.stdout, re.MULTILINE)
    command = _line(done, "  task 0: ")
    values = tomllib.loads(job.read_text())
    training, checkpoint = values["training"], values["checkpoint"]
    assert f" --per_device_train_batch_size {training['batch_size']} " in command
    assert f" --gradient_accumulation_steps {training.get('accumulation', 1)} " in command
    assert f" --save_steps {checkpoint.get('every_steps', 24_000)} " in command
    assert f" --output_dir {os.path.normpath(Path.cwd() / checkpoint['folder'])} " in command
    assert " deepspeed " in f" {command}"
    assert "{" not in command
    assert "precision bf16: as --bf16 in the command says" in done.stdout
    is_of_projector = "--tune_mm_mlp_adapter" in command
    assert ("--resume_from_checkpoint" in done.stdout) is not is_of_projector


def _line(done: Process, start: str) -> str:
    return next(line.removeprefix(start) for line in done.stdout.splitlines() if line.startswith(start))
