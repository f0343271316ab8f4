"""Which checkpoint a restart resumes from."""

import pytest

from clusterplan.launcher.checkpoints import newest


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint-500/trainer_state.json",
        "step_500",
        "lightning_logs/version_0/checkpoints/epoch=3-step=500.ckpt",
        "global_step500/mp_rank_00_model_states.pt",
    ],
)
def test_a_checkpoint_is_found_where_its_framework_writes_it(tmp_path, path):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("weights")
    found = newest(tmp_path)
    assert found
    assert found.step == 500


def test_a_checkpoint_of_the_trainer_counts_once_its_state_is_written(tmp_path):
    for step, names in ((400, ("optimizer.pt", "trainer_state.json")), (500, ("optimizer.pt",))):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in names:
            (folder / name).write_text("state")
    found = newest(tmp_path)
    assert found
    assert found.step == 400
