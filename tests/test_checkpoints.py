"""The newest checkpoint that a restart may resume from, as frameworks lay them out."""

import json
import os
import struct
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from clusterplan.launcher.run_folder.checkpoint_files import describe_unrecognised, newest_weights_s
from clusterplan.launcher.run_folder.checkpoints import (
    find_checkpoints,
    find_last_step,
    find_newest_checkpoint,
)

CLOCK = count(10**9)


def write_files(root: Path, *paths: str) -> None:
    """Each a second newer than the one before it."""
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("weights")
        now_s = next(CLOCK)
        os.utime(target, (now_s, now_s))


def newest(root: Path, pattern: str | None = None) -> str | None:
    checkpoint = find_newest_checkpoint(root, pattern)
    return os.path.relpath(checkpoint.path, root) if checkpoint else None


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
        (["step_8.pt", "samples/step_900.png", "step_9.json", "metrics/step_10.CSV"], 8),
        (["epoch=3-step=40-loss=0.12", "step_30"], 40),
        (["step_8.safetensors.tmp", "STEP.txt", "step_7.PTH"], 7),
        (["logs/events", "model.safetensors"], None),
        ([], None),
    ],
)
def test_the_newest_whole_checkpoint_is_found(tmp_path: Path, files: list[str], step: int | None) -> None:
    write_files(tmp_path, *files)
    checkpoint = find_newest_checkpoint(tmp_path)
    assert (checkpoint.step if checkpoint else None) == step


FRAMEWORKS = [
    # karpathy/nanoGPT train.py; MedSAM#342; torchvision's and timm's trainers; big_vision; composer's symlink
    (["ckpt.pt"], "ckpt.pt"),
    (["medsam_model_best.pth", "medsam_model_latest.pth"], "medsam_model_latest.pth"),
    (["model_best.pth.tar", "checkpoint.pth.tar"], "checkpoint.pth.tar"),
    (["checkpoint-11.pth.tar", "checkpoint-12.pth.tar", "model_best.pth.tar"], "checkpoint-12.pth.tar"),
    (["checkpoint.npz"], "checkpoint.npz"),
    (["ep0-ba400-rank0.pt", "ep1-ba500-rank0.pt", "ep1-ba500-rank1.pt"], "ep1-ba500-rank0.pt"),
    # Lightning: save_last, its number for a second one, its save at Slurm's signal
    (["epoch=3-step=40.ckpt", "last.ckpt"], "last.ckpt"),
    (["last.ckpt", "epoch=9-step=100.ckpt"], "epoch=9-step=100.ckpt"),
    (["epoch=9-val_loss=0.25.ckpt", "epoch=10-val_loss=0.31.ckpt"], "epoch=10-val_loss=0.31.ckpt"),
    (["epoch=3-step=40.ckpt", "hpc_ckpt_1.ckpt", "hpc_ckpt_2.ckpt"], "hpc_ckpt_2.ckpt"),
    # epochs: MMEngine, DINO, ESPnet, torchtune, ultralytics, accelerate's example
    (["epoch_9.pth", "epoch_12.pth"], "epoch_12.pth"),
    (["checkpoint0040.pth", "checkpoint0100.pth"], "checkpoint0100.pth"),
    (["9epoch.pth", "10epoch.pth", "valid.acc.best.pth"], "10epoch.pth"),
    (["epoch_0/model.safetensors", "epoch_1/model.safetensors"], "epoch_1"),
    (["weights/epoch10.pt", "weights/best.pt", "weights/last.pt"], "weights/last.pt"),
    (["epoch_2/optimizer.bin", "epoch_2/custom_checkpoint_7.pkl"], "epoch_2"),
    (["model_epoch_5/model.pt", "model_epoch_40/model.pt"], "model_epoch_40"),
    (["checkpoint_epoch12.pt", "checkpoint_epoch9.pt"], "checkpoint_epoch12.pt"),
    # an epoch is no step: the later one counts
    (["step_5000.pt", "epoch_3.pt"], "epoch_3.pt"),
    (["epoch_3.pt", "step_50.pt"], "step_50.pt"),
    # numbers alone: Orbax, DiT, guided-diffusion, detectron2, Keras
    (["400/default/d/0123abcd", "500/default/d/0123abcd", "500/_CHECKPOINT_METADATA"], "500"),
    (["0000400.pt", "0000500.pt"], "0000500.pt"),
    (["model000400.pt", "model000500.pt", "opt000500.pt", "ema_0.9999_000500.pt"], "model000500.pt"),
    (["model_0000499.pth", "model_0000999.pth", "model_final.pth"], "model_0000999.pth"),
    (["weights.05-0.23.hdf5", "weights.12-0.41.hdf5"], "weights.12-0.41.hdf5"),
    # fairseq; flax; t5x; stable-baselines3; kohya; OLMo; Gaussian splatting
    (["checkpoint_1_500.pt", "checkpoint_2_900.pt", "checkpoint_best.pt"], "checkpoint_2_900.pt"),
    (["checkpoint_2_900.pt", "checkpoint_last.pt"], "checkpoint_last.pt"),
    (["checkpoint_400", "checkpoint_500"], "checkpoint_500"),
    (["checkpoint_500/checkpoint", "checkpoint_600/checkpoint"], "checkpoint_600"),
    (["rl_model_500_steps.zip", "rl_model_90000_steps.zip"], "rl_model_90000_steps.zip"),
    (["a-step00000500.safetensors", "a-step00000500-state/optimizer.bin"], "a-step00000500-state"),
    (["step500-unsharded/model.pt", "step1000-unsharded/model.pt"], "step1000-unsharded"),
    (["chkpnt7000.pth", "chkpnt30000.pth"], "chkpnt30000.pth"),
    # torchtitan, litgpt, levanter: in a folder that is called checkpoint itself
    (["checkpoint/step-500/.metadata", "checkpoint/step-500/__0_0.distcp"], "checkpoint/step-500"),
    (["step-00000500/lit_model.pth", "final/lit_model.pth"], "step-00000500"),
    (["checkpoint/model.safetensors", "checkpoint/optimizer.bin"], "checkpoint"),
    (["ckpt/ckpt-400.pt", "ckpt/ckpt-500.pt"], "ckpt/ckpt-500.pt"),
    # NeMo: the losses in the names are no steps
    (
        ["m--val_loss=2.34-step=500-last.ckpt", "m--val_loss=9.99-step=40.ckpt"],
        "m--val_loss=2.34-step=500-last.ckpt",
    ),
    # speechbrain: by the time in the name
    (
        ["CKPT+2024-05-02+12-30-00+00/model.ckpt", "CKPT+2024-05-01+12-30-00+00/model.ckpt"],
        "CKPT+2024-05-02+12-30-00+00",
    ),
    # DeepSpeed inside Hugging Face's Trainer
    (
        ["checkpoint-5/trainer_state.json", "checkpoint-5/global_step5/mp_rank_00.pt", "checkpoint-5/latest"],
        "checkpoint-5",
    ),
    (
        ["checkpoint-5/unet/diffusion_pytorch_model.safetensors.x", "checkpoint-5/optimizer.bin"],
        "checkpoint-5",
    ),
]


@pytest.mark.parametrize(
    ("files", "path"), FRAMEWORKS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_names_of_frameworks_are_recognised(tmp_path: Path, files: list[str], path: str) -> None:
    write_files(tmp_path, *files)
    assert newest(tmp_path) == path


NO_CHECKPOINTS = [
    "eval_step_20000/predictions.npz",
    "eval/step_20000/model.pt",
    "wandb/step_99999/model.pt",
    "runs/step_99999/events.out.tfevents.17.host.1.0",
    "tensorboard/step_99999/model.pt",
    "samples/step_99999/0.npz",
    "samples_step_99999.npz",
    "step_99999/0.png",
    "step_99999/metrics.json",
    "val_epoch_99.npz",
    "step_99999.png",
    "logs_99999.npz",
    "optimizer_step_99999.pt",
    "99999.orbax-checkpoint-tmp-17/d/0",
    "checkpoint-99999.partial/model.pt",
    "tmp-checkpoint-99999/model.pt",
    "checkpoint-99999.bak/model.pt",
    "step_99999.ckpt.incomplete",
    "step_99999/model.pt.tmp",
    "model-00001-of-99999.safetensors",
    "events.out.tfevents.99999",
    "version_99999/hparams.yaml",
]


@pytest.mark.parametrize("other", NO_CHECKPOINTS)
def test_what_lies_beside_checkpoints_is_none(tmp_path: Path, other: str) -> None:
    """wandb's and evaluations' folders in the output, and saves that are not finished."""
    write_files(tmp_path, other)
    assert newest(tmp_path) is None
    write_files(tmp_path, "checkpoint-500/model.safetensors.index", other)
    assert newest(tmp_path) == "checkpoint-500"
    write_files(tmp_path, "ckpt.pt", other)
    assert newest(tmp_path) == "ckpt.pt"


def test_a_folder_without_weights_counts_where_nothing_has_weights(tmp_path: Path) -> None:
    write_files(tmp_path, "step_20/state.json")
    assert newest(tmp_path) == "step_20"
    write_files(tmp_path, "step_10/model.pt")
    assert newest(tmp_path) == "step_10"


def safetensors(tensor_bytes: int) -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(tensor_bytes)


def test_files_that_were_cut_are_no_checkpoints(tmp_path: Path) -> None:
    """vllm-project/speculators#739: killed in the middle of a save."""
    whole = tmp_path / "step_20.pt"
    with zipfile.ZipFile(whole, "w") as archive:  # as torch.save and numpy.savez write it
        archive.writestr("data", bytes(10_000))
    (tmp_path / "step_30.pt").write_bytes(whole.read_bytes()[:5_000])
    (tmp_path / "step_31.ckpt").touch()
    (tmp_path / "step_32.safetensors").write_bytes(safetensors(15))
    (tmp_path / "step_33.safetensors").write_bytes(safetensors(16)[:20])
    (tmp_path / "step_34").mkdir()
    (tmp_path / "step_34" / "model.safetensors").write_bytes(safetensors(16))
    (tmp_path / "step_34" / "optimizer.pt").write_bytes(whole.read_bytes()[:5_000])
    assert newest(tmp_path) == "step_20.pt"
    (tmp_path / "step_35.safetensors").write_bytes(safetensors(16))
    assert newest(tmp_path) == "step_35.safetensors"


@pytest.mark.parametrize(
    "files",
    [
        ["step-9/__0_0.distcp", "step-9/__1_0.distcp"],  # torch's distributed checkpoint without .metadata
        ["checkpoint-9/pytorch_model_fsdp_0/__0_0.distcp", "checkpoint-9/trainer_state.json"],
        ["step_9/model-00001-of-00002.safetensors", "step_9/model.safetensors.index.json"],
        ["m-step=9.ckpt", "m-step=9-unfinished"],  # NeMo's mark
    ],
)
def test_a_checkpoint_that_lacks_a_file_is_not_taken(tmp_path: Path, files: list[str]) -> None:
    write_files(tmp_path, "step_8.pt", *files)
    for index in tmp_path.rglob("*.index.json"):
        shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        index.write_text(json.dumps({"weight_map": shards}))
    for shard in tmp_path.rglob("*.safetensors"):
        shard.write_bytes(safetensors(16))
    assert newest(tmp_path) == "step_8.pt"


@pytest.mark.parametrize(
    ("pointer", "text", "names"),
    [
        (
            "latest_checkpointed_iteration.txt",
            "8\n",
            ("iter_0000008/mp_rank_00/m.pt", "iter_0000009/mp_rank_00/m.pt"),
        ),
        ("latest", "global_step8", ("global_step8/m.pt", "global_step9/m.pt")),
        ("last_checkpoint", "/out/epoch_8.pth", ("epoch_8.pth", "epoch_9.pth")),
    ],
)
def test_what_the_framework_does_not_name_yet_is_not_whole(
    tmp_path: Path, pointer: str, text: str, names: Any
) -> None:
    """Megatron, DeepSpeed and MMEngine write the name of a checkpoint when it is complete."""
    write_files(tmp_path, *names, pointer)
    (tmp_path / pointer).write_text(text)
    assert newest(tmp_path) == names[0].split("/")[0]
    (tmp_path / pointer).write_text(text.replace("8", "7"))  # deleted since: it says nothing of these
    assert newest(tmp_path) == names[1].split("/")[0]


def test_a_pattern_finds_names_that_no_framework_writes(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        "checkpoint-900/model.pt",
        "nets/gen-0070.weird",
        "nets/gen-0080.weird",
        "nets/gen-0090.weird.tmp",
    )
    assert newest(tmp_path, r"nets/gen-(\d+)\.weird") == "nets/gen-0080.weird"
    assert newest(tmp_path, r"gen-(\d+)") is None


def test_a_pattern_may_name_a_file_that_is_overwritten(tmp_path: Path) -> None:
    write_files(tmp_path, "model.bin", "model-1.bin")
    assert newest(tmp_path, r"model()\.bin") == "model.bin"


def test_the_checkpoints_before_the_newest_come_after_it(tmp_path: Path) -> None:
    write_files(tmp_path, "step_5.pt", "step_7.pt", "last.pt", "step_6.pt")
    names = [Path(checkpoint.path).name for checkpoint in find_checkpoints(tmp_path)]
    assert names == ["last.pt", "step_7.pt", "step_6.pt", "step_5.pt"]
    assert find_last_step(tmp_path) == 7


def test_a_link_to_a_checkpoint_is_not_another_one(tmp_path: Path) -> None:
    write_files(tmp_path, "step_5.pt", "step_7.pt")
    (tmp_path / "last.pt").symlink_to("step_7.pt")
    assert [Path(each.path).name for each in find_checkpoints(tmp_path)] == ["step_7.pt", "step_5.pt"]


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert find_newest_checkpoint(tmp_path / "nothing") is None
    assert newest_weights_s(tmp_path / "nothing") is None


def test_weights_of_any_name_are_a_sign_of_progress(tmp_path: Path) -> None:
    write_files(tmp_path, "a.json", "deep/model.bin", "eval/b.npz", "deep/model.bin.tmp")
    assert newest_weights_s(tmp_path) == (tmp_path / "deep" / "model.bin").stat().st_mtime


def test_what_is_not_recognised_is_named(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert describe_unrecognised(output) == "nothing was saved in output/"
    write_files(output, "model.bin")
    assert describe_unrecognised(output) == "no checkpoint is recognised in output/; files there: model.bin"
    write_files(output, *(f"logs/{number}.txt" for number in range(9)))
    assert describe_unrecognised(output, "x(1)").endswith(
        "no checkpoint matches checkpoint.pattern in output/; files there: logs/0.txt, logs/1.txt, logs/2.txt, logs/3.txt, logs/4.txt and 5 more"
    )
