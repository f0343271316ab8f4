"""The newest checkpoint that a restart may resume from, as frameworks lay them out."""

from pathlib import Path
from typing import Any

import pytest

from clusterplan.launcher.run_folder.checkpoints import find_newest_checkpoint


def write_files(root: Any, *paths: Any) -> None:
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("")


@pytest.mark.parametrize(
    ("files", "step"),
    [
        (["checkpoint-500/trainer_state.json", "checkpoint-1000/trainer_state.json"], 1000),
        (["checkpoint-500/trainer_state.json", "checkpoint-1000/optimizer.pt"], 500),
        (["checkpoint-7/trainer_state.json", "checkpoint-9/checkpoint-is-incomplete.txt"], 7),
        (["checkpoint-7/trainer_state.json", "checkpoint-8/rng_state_1.pth"], 7),
        (["lightning_logs/version_0/checkpoints/epoch=3-step=40.ckpt"], 40),
        (["global_step7/mp_rank_00.pt", "global_step12/mp_rank_00.pt", "latest"], 12),
        (["iter_0000500/model.pt"], 500),
        (["step_9.tmp/weights", "step_8/weights"], 8),
        (["hpc_ckpt_3.ckpt"], None),
        (["step_8.pt", "samples/step_900.png", "step_9.json", "metrics/step_10.CSV"], 8),
        (["epoch=3-step=40-loss=0.12", "step_30"], 40),
        (["step_8.safetensors", "STEP.txt", "step_7.PTH"], 8),
        (["logs/events", "model.safetensors"], None),
        ([], None),
    ],
)
def test_the_newest_whole_checkpoint_is_found(tmp_path: Path, files: list[Any], step: int | None) -> None:
    write_files(tmp_path, *files)
    checkpoint = find_newest_checkpoint(tmp_path)
    assert (checkpoint.step if checkpoint else None) == step


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert find_newest_checkpoint(tmp_path / "nothing") is None
