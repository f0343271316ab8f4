"""`init` on configs of Lightning, hydra, litgpt, llm-foundry and ms-swift on Megatron: minimal files of our own arrangement."""

import json
from pathlib import Path

import pytest

from clusterplan.launcher.recipes.recipe import Recipe
from clusterplan.launcher.recipes.source import read_source


def read(folder: Path, script: str, name: str = "run.sh") -> Recipe:
    (folder / name).write_text(script)
    return read_source(Path(name), folder, (), {"HOME": "/home/nobody"}, {})


def values(recipe: Recipe, *keys: str) -> list[object]:
    return [recipe.value(key) for key in keys]


def asked(recipe: Recipe) -> dict[str, object]:
    return {question.key: question.proposal for question in recipe.questions}


# https://lightning.ai/docs/pytorch/stable/cli/lightning_cli_advanced.html
CLI = """
seed_everything: 42
trainer:
  strategy: ddp
  devices: 4
  num_nodes: 2
  precision: bf16-mixed
  max_epochs: 100
  max_steps: -1
  accumulate_grad_batches: 2
  val_check_interval: 1000
  callbacks:
  - class_path: lightning.pytorch.callbacks.ModelCheckpoint
    init_args: {dirpath: ckpts, every_n_train_steps: 500}
  - class_path: lightning.pytorch.callbacks.EarlyStopping
    init_args: {monitor: val_loss}
data: {class_path: my.Data, init_args: {batch_size: 32}}
"""


def test_a_config_of_lightning(tmp_path: Path) -> None:
    (tmp_path / "cli.yaml").write_text(CLI)
    head = "#SBATCH --nodes=2 --ntasks-per-node=4 --gres=gpu:4\n"
    recipe = read(tmp_path, f"{head}srun python main.py fit --config cli.yaml --trainer.max_epochs 50\n")
    keys = ("batch_size", "accumulation", "epochs", "gpus", "precision", "framework")
    expected = [32, 2, 50, 8, "bf16", "lightning"]
    assert values(recipe, *(f"training.{key}" for key in keys)) == expected
    # an interval is in micro-batches, of a checkpoint in steps
    assert values(recipe, "evaluation.every_steps", "checkpoint.every_steps", "checkpoint.folder") == [
        500,
        500,
        "ckpts",
    ]
    assert values(recipe, "run.bootstrap", "run.resume") == ["per-gpu", ("--ckpt_path={latest}",)]
    assert "--data.init_args.batch_size={batch_size}" in recipe.value("run.command")
    assert not any("max_steps" in word for word in recipe.value("run.command"))  # the file has none
    assert any("EarlyStopping may end the run" in remark for remark in recipe.remarks)


@pytest.mark.parametrize(
    ("trainer", "key", "value"),
    [
        ("strategy: fsdp", "training.zero_stage", 3),
        ("strategy: deepspeed_stage_2_offload", "training.zero_stage", 2),
        (
            "strategy: {class_path: lightning.pytorch.strategies.DeepSpeedStrategy, init_args: {stage: 1}}",
            "training.zero_stage",
            1,
        ),
        ("precision: 16", "training.precision", "fp16"),
        ("devices: [0, 1]", "training.gpus", 2),
        ("gpus: '0,1,3'", "training.gpus", 3),  # 1.x
        ("val_check_interval: 0.25", "evaluation.every_epochs", 0.25),
        ("check_val_every_n_epoch: 5", "evaluation.every_epochs", 5),
        ("limit_val_batches: 0", "evaluation.every_steps", 0),
        ("enable_checkpointing: false", "checkpoint.every_steps", 0),
        ("max_steps: 100", "training.max_steps", 100),
        ("accelerator: gpu", "training.epochs", 1000),
    ],
)
def test_a_key_of_its_trainer(tmp_path: Path, trainer: str, key: str, value: object) -> None:
    recipe = read(tmp_path, f"trainer:\n  {trainer}\n  num_nodes: 1\ndata: {{batch_size: 8}}\n", "cli.yaml")
    assert recipe.value(key) == value


# https://github.com/ashleve/lightning-hydra-template configs/
HYDRA = {
    "configs/train.yaml": "# @package _global_\ndefaults:\n  - _self_\n  - data: mnist\n  - trainer: default.yaml\n"
    "  - callbacks: default\n  - experiment: null\n  - optional local: default\nckpt_path: null\nsize: 3\n",
    "configs/trainer/default.yaml": "_target_: lightning.pytorch.trainer.Trainer\nmax_epochs: 10\naccelerator: cpu\ndevices: 1\n",
    "configs/trainer/ddp.yaml": "defaults:\n  - default\nstrategy: ddp\naccelerator: gpu\ndevices: 4\nnum_nodes: 1\n",
    "configs/data/mnist.yaml": "_target_: src.data.Mnist\nbatch_size: 128\nshape: ${size}\npath: ???\n",
    "configs/callbacks/default.yaml": "defaults:\n  - model_checkpoint\n",
    "configs/callbacks/model_checkpoint.yaml": "model_checkpoint:\n  dirpath: out\n  every_n_train_steps: 250\n",
    "configs/experiment/small.yaml": "# @package _global_\ndefaults:\n  - override /trainer: ddp\ntrainer:\n  max_epochs: 3\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_the_groups_of_hydra_are_composed(tmp_path: Path) -> None:
    write(tmp_path, HYDRA)
    recipe = read(tmp_path, "python src/train.py trainer=ddp trainer.precision=16\n")
    keys = (
        "training.gpus",
        "training.epochs",
        "training.precision",
        "checkpoint.every_steps",
        "checkpoint.folder",
    )
    assert values(recipe, *keys) == [4, 10, "fp16", 250, "out"]
    assert asked(recipe) == {
        "training.batch_size": 128,
        "data.samples": None,
    }  # its batch is that of all GPUs
    assert values(recipe, "run.bootstrap", "run.resume") == ["per-gpu", ("ckpt_path={latest}",)]
    assert recipe.value("run.command") == ("python", "src/train.py", "trainer=ddp", "trainer.precision=16")


def test_an_experiment_stands_over_the_groups(tmp_path: Path) -> None:
    write(tmp_path, HYDRA)
    recipe = read(tmp_path, "python src/train.py experiment=small\n")
    assert values(recipe, "training.gpus", "training.epochs") == [4, 3]


@pytest.mark.parametrize(
    "words", ["--batch-size=8 --trainer=ddp", "configs/x.py --work-dir=w", "--lr 1 trainer=ddp"]
)
def test_words_of_another_parser_compose_nothing(tmp_path: Path, words: str) -> None:
    write(tmp_path, HYDRA)
    assert read(tmp_path, f"python src/train.py {words}\n").value("training.framework") == "torch"


def test_several_runs_of_hydra_are_asked_about(tmp_path: Path) -> None:
    recipe = read(tmp_path, "python src/train.py -m data.batch_size=32,64 trainer.max_epochs=3\n")
    (question,) = (question for question in recipe.questions if question.key == "run.runs")
    assert "hydra's --multirun starts several runs" in question.why


def test_nemo_counts_as_megatron_does(tmp_path: Path) -> None:
    """https://github.com/NVIDIA/NeMo examples/nlp/language_modeling/megatron_gpt_pretraining.py."""
    line = (
        "srun python pretraining.py trainer.devices=8 trainer.num_nodes=4 trainer.max_steps=300000 trainer.val_check_interval=300 "
        "model.micro_batch_size=6 model.global_batch_size=192 model.tensor_model_parallel_size=2 model.encoder_seq_length=1024\n"
    )
    recipe = read(tmp_path, f"#SBATCH -N 4 --gpus-per-node=8 --ntasks-per-node=8\n{line}")
    keys = ("batch_size", "global_batch", "max_steps", "tensor_parallel", "framework")
    assert values(recipe, *(f"training.{key}" for key in keys)) == [6, 192, 300000, 2, "megatron"]
    assert "trainer.max_steps={max_steps}" in recipe.value("run.command")


# https://github.com/Lightning-AI/litgpt config_hub/pretrain/tinyllama.yaml
LITGPT = """
model: {name: tiny, block_size: 2048}
devices: auto
out_dir: out/pretrain/tiny-llama
train: {save_interval: 1000, global_batch_size: 512, micro_batch_size: 4, max_tokens: 3000000000000, max_steps: null}
eval: {interval: 500}
"""


def test_litgpt(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(LITGPT)
    line = "srun litgpt pretrain --config tiny.yaml --devices 8 --num_nodes 2 --precision bf16-true\n"
    recipe = read(tmp_path, f"#SBATCH -N 2 --gpus-per-node=8\n{line}")
    keys = (
        "training.batch_size",
        "training.accumulation",
        "training.gpus",
        "data.tokens",
        "data.seq_len",
        "training.precision",
    )
    assert values(recipe, *keys) == [4, 8, 16, 3_000_000_000_000, 2048, "bf16"]
    assert values(recipe, "training.master_weights", "checkpoint.every_steps", "evaluation.every_steps") == [
        False,
        1000,
        500,
    ]
    assert values(recipe, "run.bootstrap", "run.resume") == ["per-gpu", ("--resume=auto",)]
    assert {"--train.micro_batch_size={batch_size}", "--out_dir={output}"} <= {*recipe.value("run.command")}


def test_a_finetuning_of_litgpt_begins_anew(tmp_path: Path) -> None:
    line = "litgpt finetune_lora m --devices 4 --train.global_batch_size 64 --train.micro_batch_size 1 --train.epochs 2\n"
    recipe = read(tmp_path, line)
    assert values(recipe, "training.accumulation", "training.epochs", "run.resume") == [16, 2, None]
    assert any("cannot go on from a checkpoint" in remark for remark in recipe.remarks)
    assert "training.batch_size" in asked(read(tmp_path, "litgpt finetune_lora m --devices 4\n"))


# https://github.com/mosaicml/llm-foundry scripts/train/yamls/pretrain/mpt-1b.yaml
MPT = """
max_seq_len: 2048
max_duration: 24800ba
eval_interval: 2000ba
global_train_batch_size: 512
device_train_microbatch_size: 4
precision: amp_bf16
fsdp_config: {sharding_strategy: FULL_SHARD, activation_checkpointing: true}
"""


def test_llm_foundry(tmp_path: Path) -> None:
    (tmp_path / "mpt.yaml").write_text(MPT)
    recipe = read(
        tmp_path,
        "composer -n 8 train.py mpt.yaml save_folder=out save_interval=1ep max_duration=50ba run_name=mpt\n",
    )
    keys = ("batch_size", "global_batch", "max_steps", "precision", "zero_stage", "recompute", "gpus")
    assert values(recipe, *(f"training.{key}" for key in keys)) == [4, 512, 50, "bf16", 3, True, 8]
    assert values(recipe, "evaluation.every_steps", "checkpoint.every_epochs", "run.resume") == [
        2000,
        1,
        ("autoresume=true",),
    ]
    alone = read(tmp_path, MPT.replace("size: 4", "size: auto"), "auto.yaml")
    assert alone.value("checkpoint.every_steps") == 0
    assert {"training.batch_size", "run.command"} <= asked(alone).keys()


# https://github.com/modelscope/ms-swift examples/megatron/sft.sh
SWIFT = """
NPROC_PER_NODE=2 CUDA_VISIBLE_DEVICES=0,1 megatron sft --model Qwen/Qwen2.5-7B-Instruct \\
    --dataset 'a/zh#500' 'a/en#500' 'swift/self-cognition#500' --train_type lora --tensor_model_parallel_size 2 \\
    --micro_batch_size 16 --global_batch_size 32 --recompute_granularity full --max_epochs 1 \\
    --save out --save_interval 100 --max_length 2048 --no_save_optim true
"""


def test_megatron_of_ms_swift_is_no_swift_sft(tmp_path: Path) -> None:
    recipe = read(tmp_path, SWIFT)
    keys = (
        "batch_size",
        "global_batch",
        "epochs",
        "gpus",
        "tensor_parallel",
        "zero_stage",
        "framework",
        "precision",
    )
    assert values(recipe, *(f"training.{key}" for key in keys)) == [16, 32, 1, 2, 2, 1, "megatron", "auto"]
    assert values(recipe, "data.samples", "evaluation.every_steps", "checkpoint.every_steps") == [
        1500,
        0,
        100,
    ]
    assert values(recipe, "run.resume", "run.bootstrap") == [None, "single"]
    assert any("no run goes on from such a checkpoint" in remark for remark in recipe.remarks)
    assert {"{batch_size}", "{save_steps}", "{output}"} <= {*recipe.value("run.command")}


def test_nanogpt_takes_its_batch_size(tmp_path: Path) -> None:
    """https://github.com/karpathy/nanoGPT config/train_shakespeare_char.py."""
    config = "out_dir = 'o'\nbatch_size = 64\nblock_size = 256\nmax_iters = 5000\ngradient_accumulation_steps = 1\n"
    recipe = read(tmp_path, config, "char.py")
    assert recipe.value("run.command") == (
        "python",
        "train.py",
        "char.py",
        "--batch_size={batch_size}",
        "--out_dir={output}",
    )


# num_rows of the footer, https://parquet.apache.org/docs/file-format/metadata/: version 1, a schema of one root, 1,000 rows
FOOTER = bytes([0x15, 2, 0x19, 0x1C, 0x48, 4, *b"root", 0x15, 0, 0, 0x16, 0xD0, 0x0F, 0])


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("d.json", json.dumps([{"a": 1}] * 7).encode(), 7),
        ("d.jsonl", b'{"a": 1}\n{"a": 2}\n\n', 2),
        ("d.parquet", b"PAR1" + FOOTER + len(FOOTER).to_bytes(4, "little") + b"PAR1", 1000),
        ("d.json", b'{"train": []}', None),
        ("d.json", b"[1, 2", None),
        ("d.parquet", b"PAR1 and no more", None),
        ("d.tar", b"", None),  # a shard of webdataset
    ],
)
def test_the_samples_of_a_data_file_that_is_here_are_proposed(
    tmp_path: Path, name: str, content: bytes, count: int | None
) -> None:
    (tmp_path / name).write_bytes(content)
    recipe = read(
        tmp_path, f"torchrun --nproc_per_node 2 t.py --data_path {name} --num_train_epochs 1 --output_dir o\n"
    )
    (question,) = recipe.questions
    assert (question.key, question.proposal) == ("data.samples", count)
    assert ("before the program's filters and splits" in question.why) is (count is not None)
