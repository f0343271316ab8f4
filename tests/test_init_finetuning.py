"""`init` on the configs of fine-tuning libraries: minimal files of our own arrangement; the public source is named."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from test_init_examples import put, read, values

Run = Callable[..., CompletedProcess[str]]

LLAMA_FACTORY = """
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
stage: sft
finetuning_type: lora
deepspeed: examples/deepspeed/ds_z3_config.json  # choices: z0, z2, z3
dataset: identity,alpaca_en_demo
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
output_dir: saves/qwen3-4b/lora/sft
save_steps: 500
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 2
num_train_epochs: 3.0
bf16: true
resume_from_checkpoint: null
"""
AXOLOTL = """
base_model: casperhansen/llama-3-70b-fp16
load_in_8bit: false
load_in_4bit: true
strict: false
datasets:
  - path: tatsu-lab/alpaca
    type: alpaca
val_set_size: 0.05
output_dir: ./outputs/out/qlora-llama3-70b
adapter: qlora
sequence_len: 512
sample_packing: false
gradient_accumulation_steps: 4
micro_batch_size: 1
num_epochs: 4
optimizer: adamw_torch
bf16: auto
fp16:
gradient_checkpointing: true
early_stopping_patience:
evals_per_epoch: 4
saves_per_epoch: 1
deepspeed:
fsdp:
  - full_shard
  - auto_wrap
fsdp_config:
  fsdp_offload_params: true
  fsdp_sharding_strategy: FULL_SHARD
"""
SWIFT = """
model: Qwen/Qwen2.5-7B-Instruct
torch_dtype: bfloat16
tuner_type: lora
dataset:
  - 'AI-ModelScope/alpaca-gpt4-data-zh#500'
  - 'AI-ModelScope/alpaca-gpt4-data-en#500'
  - 'swift/self-cognition#500'
split_dataset_ratio: 0.0
max_length: 2048
num_train_epochs: 1
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1e-4
eval_steps: 50
save_steps: 50
output_dir: output
deepspeed: zero2
"""
BATCHES = ("training.batch_size", "training.accumulation", "training.epochs", "data.seq_len")
STATES = ("training.precision", "training.zero_stage", "training.recompute")
PAUSES = ("checkpoint.every_steps", "evaluation.every_steps")


def test_llama_factory(tmp_path: Path) -> None:
    """hiyouga/LLaMA-Factory examples/train_lora/qwen3_lora_sft_ds3.yaml at ff6d4d1."""
    put(tmp_path, sft_dot_yaml=LLAMA_FACTORY)
    recipe = read(tmp_path, "sft.yaml")
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [1, 2, 3, 2048, "bf16", 3, True, 500, 0]
    assert {question.key for question in recipe.questions} == {"data.samples", "training.gpus"}
    assert next(q for q in recipe.questions if q.key == "data.samples").why.startswith("at most 2 x 1,000")
    assert recipe.value("run.command") == (
        *("env", "FORCE_TORCHRUN=1", "llamafactory-cli", "train", "sft.yaml"),
        "per_device_train_batch_size={batch_size}",
        "gradient_accumulation_steps={accumulation}",
        "output_dir={output}",
    )
    assert values(recipe, "run.resume", "run.bootstrap") == [("resume_from_checkpoint={latest}",), "single"]


def test_words_behind_a_llama_factory_yaml_stand_over_it(tmp_path: Path) -> None:
    put(
        tmp_path,
        sft_dot_yaml=LLAMA_FACTORY,
        run_dot_sh="FORCE_TORCHRUN=1 NNODES=2 NPROC_PER_NODE=4 NODE_RANK=0 llamafactory-cli train sft.yaml max_steps=50 bf16=false",
    )
    recipe = read(tmp_path, "run.sh")
    assert values(recipe, "training.max_steps", "training.precision") == [50, "fp32"]
    assert values(recipe, "training.gpus", "cluster.nodes") == [8, 2]
    command = recipe.value("run.command")
    assert command[4:7] == ("sft.yaml", "max_steps={max_steps}", "bf16=false")
    assert "output_dir={output}" in command


def test_llama_factory_arguments_without_a_yaml(tmp_path: Path) -> None:
    """hiyouga/LLaMA-Factory's earlier scripts: --stage pt packs, pure_bf16 keeps no fp32 weights."""
    put(
        tmp_path,
        run_dot_sh="deepspeed --num_gpus 4 src/train.py --stage pt --finetuning_type full --dataset c4_demo --pure_bf16 "
        "--output_dir out --per_device_train_batch_size 2 --val_size 200 --eval_strategy steps --eval_steps 100",
    )
    recipe = read(tmp_path, "run.sh")
    assert values(recipe, *BATCHES, *STATES) == [2, None, 3, 2048, "bf16", None, True]
    assert values(recipe, "training.master_weights", "evaluation.samples", "evaluation.every_steps") == [
        False,
        200,
        100,
    ]
    assert recipe.settings["data.seq_len"].source == "LLaMA-Factory's default: cutoff_len is not given"
    assert recipe.value("run.resume") == ("--resume_from_checkpoint={latest}",)


def test_the_second_version_of_llama_factory(tmp_path: Path) -> None:
    """hiyouga/LLaMA-Factory examples/v1/train_full/train_full_fsdp2.yaml at 16db150."""
    config = (
        "model: Qwen/Qwen3-0.6B\ntemplate: qwen3_nothink\ndist_config:\n  name: fsdp2\n  dcp_path: null\n"
    )
    config += "train_dataset: data/v1_sft_demo.yaml\noutput_dir: outputs/test_fsdp2\nmicro_batch_size: 1\nmax_steps: 10\n"
    put(tmp_path, v1_dot_yaml=config)
    recipe = read(tmp_path, "v1.yaml", gpus=4)
    assert values(recipe, "training.batch_size", "training.max_steps", *STATES, *PAUSES) == [
        *(1, 10, "bf16", 3, True, 0, None),
    ]
    assert recipe.value("run.command")[:5] == ("env", "USE_V1=1", "llamafactory-cli", "sft", "v1.yaml")
    assert recipe.questions == ()


def test_axolotl(tmp_path: Path) -> None:
    """axolotl-ai-cloud/axolotl examples/llama-3/qlora-fsdp-70b.yaml at 067b021."""
    put(tmp_path, qlora_dot_yaml=AXOLOTL)
    recipe = read(tmp_path, "qlora.yaml")
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [1, 4, 4, 512, "auto", 3, True, 0.25, 0.0625]
    assert values(recipe, "training.offload", "data.validation_share") == [("optimizer", "parameters"), 0.05]
    assert {question.key for question in recipe.questions} == {"data.samples", "training.gpus"}
    assert recipe.value("run.command") == (
        *("python", "-m", "axolotl.cli.train", "qlora.yaml", "--micro_batch_size={batch_size}"),
        *("--gradient_accumulation_steps={accumulation}", "--output_dir={output}"),
    )
    assert values(recipe, "run.bootstrap", "run.resume") == [
        "torchrun",
        ("--resume_from_checkpoint={latest}",),
    ]
    assert any("base_bits = 4" in remark for remark in recipe.remarks)


@pytest.mark.parametrize(
    ("line", "gpus"),
    [
        ("axolotl train x.yml --launcher torchrun -- --nproc_per_node=4 --nnodes=2", 8),
        ("axolotl train x.yml --num-processes 8", 8),
        ("accelerate launch --num_processes 8 -m axolotl.cli.train x.yml", 8),
        ("torchrun --nproc_per_node 8 -m axolotl.cli.train x.yml", 8),
        ("CUDA_VISIBLE_DEVICES='' axolotl preprocess x.yml\naxolotl train x.yml", None),
    ],
)
def test_launch_lines_of_axolotl(tmp_path: Path, line: str, gpus: int | None) -> None:
    """Launchers of axolotl/cli/main.py at 067b021; its words for them are no keys of the config."""
    put(tmp_path, x_dot_yml=AXOLOTL, run_dot_sh=line)
    recipe = read(tmp_path, "run.sh")
    assert values(recipe, "training.gpus", "training.batch_size") == [gpus, 1]
    command = " ".join(recipe.value("run.command"))
    assert command.endswith(
        "axolotl.cli.train x.yml --micro_batch_size={batch_size} --gradient_accumulation_steps={accumulation} --output_dir={output}"
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("batch_size: 8\nmicro_batch_size: 2", {"training.accumulation": 4}),
        ("max_steps: 20", {"training.max_steps": 20, "training.epochs": None}),
        ("bf16: full", {"training.precision": "bf16", "training.master_weights": False}),
        ("bf16: false\nfp16: true", {"training.precision": "fp16"}),
        ("bf16: no\ntf32: yes", {"training.precision": "tf32"}),
        ("val_set_size: 0", {"evaluation.every_steps": 0, "data.validation_share": None}),
        ("val_set_size: 500\neval_steps: 20", {"evaluation.every_steps": 20, "evaluation.samples": 500}),
        ("val_set_size: 0.1", {"evaluation.every_epochs": 1}),
        ("save_strategy: no", {"checkpoint.every_steps": 0}),
        ("save_steps: 0.1", {"checkpoint.every_steps": 0.1}),
        ("gradient_checkpointing: offload", {"training.recompute": True}),
        ("optimizer: paged_adamw_8bit", {"training.optimizer": "paged-adam-8bit"}),
        ("deepspeed: deepspeed_configs/zero2.json", {"training.zero_stage": 2}),
        ("deepspeed: {zero_optimization: {stage: 1}}", {"training.zero_stage": 1}),
        ("fsdp_version: 2\nfsdp_config: {reshard_after_forward: false}", {"training.zero_stage": 2}),
        ("fsdp_version: 2\nfsdp_config: {offload_params: true}", {"training.zero_stage": 3}),
        ("fsdp: [shard_grad_op, auto_wrap]", {"training.zero_stage": 2}),
        (
            "dp_shard_size: 4\ntensor_parallel_size: 2",
            {"training.zero_stage": 3, "training.tensor_parallel": 2},
        ),
        ("sequence_parallel_degree: 4", {"training.context_parallel": 4}),
    ],
)
def test_keys_of_axolotl(tmp_path: Path, key: str, expected: dict[str, object]) -> None:
    put(tmp_path, x_dot_yml=f"base_model: org/m\ndatasets: [{{path: a, type: alpaca}}]\n{key}\n")
    recipe = read(tmp_path, "x.yml", gpus=8)
    assert {name: recipe.value(name) for name in expected} == expected


def test_swift(tmp_path: Path) -> None:
    """modelscope/ms-swift examples/yaml/deepspeed/sft.yaml at 3602360: eval_steps without data to evaluate means never."""
    put(tmp_path, sft_dot_yaml=SWIFT)
    recipe = read(tmp_path, "sft.yaml")
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [1, 8, 1, 2048, "bf16", 2, True, 50, 0]
    assert values(recipe, "data.samples", "run.bootstrap") == [1500, "single"]
    assert [question.key for question in recipe.questions] == ["training.gpus"]
    command = recipe.value("run.command")
    assert command[:3] == ("swift", "sft", "sft.yaml")
    assert command[-2:] == ("--output_dir={output}", "--add_version=false")


def test_the_environment_in_a_swift_yaml_states_the_gpus(tmp_path: Path) -> None:
    """A table ENV holds variables, of which those around the command win (ms-swift 4.5, swift/cli/main.py)."""
    put(tmp_path, sft_dot_yaml=f"ENV:\n  NPROC_PER_NODE: 4\n  NNODES: '2'\n{SWIFT}")
    recipe = read(tmp_path, "sft.yaml")
    assert values(recipe, "training.gpus", "cluster.nodes") == [8, 2]


def test_a_config_option_of_swift_stands_over_the_line(tmp_path: Path) -> None:
    """ms-swift 3 appends what --config names, so words of the line do nothing (swift/cli/main.py, prepare_config_args)."""
    put(tmp_path, sft_dot_yaml=SWIFT, run_dot_sh="NPROC_PER_NODE=2 swift sft --config sft.yaml")
    recipe = read(tmp_path, "run.sh")
    assert recipe.value("run.command") == ("swift", "sft", "--config", "sft.yaml")
    assert any("add_version: false" in remark for remark in recipe.remarks)


@pytest.mark.parametrize("config", [LLAMA_FACTORY, AXOLOTL, SWIFT])
def test_a_job_file_can_be_estimated_and_submitted(clusterplan: Run, tmp_path: Path, config: str) -> None:
    put(tmp_path, config_dot_yaml=config)
    flags = ("--gpus", "8", "--samples", "20_000")
    assert clusterplan("init", "config.yaml", *flags, cwd=tmp_path).returncode == 0
    assert clusterplan("estimate", "job.toml", cwd=tmp_path).returncode == 0
    dry_run = clusterplan("submit", "job.toml", "--dry-run", "--executor", "local", cwd=tmp_path)
    assert dry_run.returncode == 0, dry_run.stderr
    command = next(line for line in dry_run.stdout.splitlines() if "task 0: " in line)
    assert "bf16" not in command  # its arguments are those in the config
