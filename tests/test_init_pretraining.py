"""`init` on pre-training scripts and configs: minimal files of our own arrangement; the public source is named."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from test_init_examples import put, read, values

Run = Callable[..., CompletedProcess[str]]

BIGSCIENCE = """#!/bin/bash
#SBATCH --job-name=tr11-176B-ml
#SBATCH --nodes=24
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:8
#SBATCH --time 100:00:00
set -x -e
MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)
GPUS_PER_NODE=8
NNODES=$SLURM_NNODES
MICRO_BATCH_SIZE=2
GLOBAL_BATCH_SIZE=2048
TRAIN_SAMPLES=220_000_000  # 450B tokens
GPT_ARGS=" \\
    --num-layers 70 --hidden-size 14336 --seq-length 2048 \\
    --micro-batch-size $MICRO_BATCH_SIZE \\
    --rampup-batch-size 192 16 9_765_625 \\
    --global-batch-size $GLOBAL_BATCH_SIZE --train-samples $TRAIN_SAMPLES \\
    --bf16 --checkpoint-activations --exit-duration-in-mins 5990 \\
    "
ZERO_STAGE=0
config_json="./ds_config.$SLURM_JOB_ID.json"
cat <<EOT > $config_json
{
  "train_micro_batch_size_per_gpu": $MICRO_BATCH_SIZE,
  "train_batch_size": $GLOBAL_BATCH_SIZE,
  "zero_optimization": {"stage": $ZERO_STAGE},
  "bf16": {"enabled": true}
}
EOT
export LAUNCHER="python -u -m torch.distributed.run --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES \\
    --rdzv_endpoint $MASTER_ADDR:6000 --rdzv_backend c10d --max_restarts 0 --tee 3 \\
    "
export CMD=" \\
    `pwd`/pretrain_gpt.py --tensor-model-parallel-size 4 --pipeline-model-parallel-size 12 $GPT_ARGS \\
    --save-interval 100 --eval-interval 1000 --eval-iters 1 --save ckpt/main --load ckpt/main \\
    --deepspeed --deepspeed_config ${config_json} --zero-stage ${ZERO_STAGE} \\
    "
clear; srun --wait=60 --kill-on-bad-exit=1 --jobid $SLURM_JOB_ID bash -c "$LAUNCHER --node_rank \\$SLURM_PROCID $CMD" 2>&1 | tee -a log.txt
"""
MIXTRAL = """#!/bin/bash
export CUDA_DEVICE_MAX_CONNECTIONS=1
GPUS_PER_NODE=8
MASTER_ADDR=${MASTER_ADDR:-"localhost"}
NNODES=${SLURM_NNODES:-"1"}
NODE_RANK=${RANK:-"0"}
CHECKPOINT_PATH=$1
DISTRIBUTED_ARGS=(
    --nproc_per_node $GPUS_PER_NODE
    --nnodes $NNODES
    --node_rank $NODE_RANK
    --master_addr $MASTER_ADDR
)
MODEL_ARGS=(
    --seq-length 4096
    --num-layers 32
    --hidden-size 4096
)
TRAINING_ARGS=(
    --micro-batch-size 1
    --global-batch-size 256
    --train-iters 500000
    --bf16
)
MODEL_PARALLEL_ARGS=(
    --tensor-model-parallel-size 1
    --pipeline-model-parallel-size 4
    --expert-model-parallel-size 8
    --use-distributed-optimizer
    --sequence-parallel
)
LOGGING_ARGS=(
    --save-interval 10000 \\
    --eval-interval 1000 \\
    --eval-iters 10 \\
    --save $CHECKPOINT_PATH \\
    --load $CHECKPOINT_PATH \\
)
torchrun ${DISTRIBUTED_ARGS[@]} pretrain_gpt.py \\
    ${MODEL_ARGS[@]} ${TRAINING_ARGS[@]} ${MODEL_PARALLEL_ARGS[@]} ${LOGGING_ARGS[@]}
"""
LLAMA3 = """
# NOTE: this toml config is a preset for 128 H100 GPUs.
[job]
dump_folder = "./outputs"
[model]
flavor = "405B"
converters = "float8"
[training]
batch_size = 2
seq_len = 8192
steps = 3000
[parallelism]
data_parallel_replicate_degree = 1
data_parallel_shard_degree = -1
tensor_parallel_degree = 8
[checkpoint]
enable_checkpoint = false
interval = 500
[activation_checkpoint]
mode = 'full' # ['none', 'selective', 'full']
"""
NANOGPT = """
# 12 batch size * 1024 block size * 5 gradaccum * 8 GPUs = 491,520
wandb_log = False
batch_size = 12
block_size = 1024
gradient_accumulation_steps = 5 * 8
max_iters = 600000
lr_decay_iters = 600000
eval_interval = 1000
eval_iters = 200
weight_decay = 1e-1
"""
BATCHES = ("training.batch_size", "training.global_batch", "training.max_steps", "data.seq_len")
STATES = ("training.precision", "training.zero_stage", "training.recompute")
PAUSES = ("checkpoint.every_steps", "evaluation.every_steps")


def test_bigscience(tmp_path: Path) -> None:
    """bigscience-workshop/bigscience train/tr11-176B-ml/tr11-176B-ml.slurm at 9e64ede."""
    put(tmp_path, tr11_dot_slurm=BIGSCIENCE)
    recipe = read(tmp_path, "tr11.slurm")
    assert values(recipe, "cluster.nodes", "training.gpus", "data.samples") == [24, 192, 220_000_000]
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [2, 2048, None, 2048, "bf16", 0, True, 100, 1000]
    assert values(recipe, "training.tensor_parallel", "training.pipeline_parallel") == [4, 12]
    assert recipe.value("training.batch_rampup") == (192, 16, 9_765_625)
    assert values(recipe, "run.bootstrap", "run.resume") == ["torchrun", ("--load", "{output}")]
    assert any("exit-duration" in remark for remark in recipe.remarks)


def test_the_steps_of_bigscience(clusterplan: Run, tmp_path: Path) -> None:
    put(tmp_path, tr11_dot_slurm=BIGSCIENCE)
    assert clusterplan("init", "tr11.slurm", cwd=tmp_path).returncode == 0
    estimate = clusterplan("estimate", "job.toml", cwd=tmp_path)
    assert "115,311" in estimate.stdout, estimate.stderr


def test_a_shape_that_does_not_fit_is_asked_for(tmp_path: Path) -> None:
    """NVIDIA/Megatron-LM examples/mixtral/train_mixtral_8x7b_distributed.sh at 9b8acfd: 8 GPUs are too few for PP 4, EP 8."""
    put(tmp_path, mixtral_dot_sh=MIXTRAL)
    recipe = read(tmp_path, "mixtral.sh", "ckpt")
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [
        1,
        256,
        500_000,
        4096,
        "bf16",
        1,
        None,
        10_000,
        1000,
    ]
    assert values(recipe, "training.pipeline_parallel", "evaluation.samples", "training.gpus") == [
        4,
        2560,
        None,
    ]
    question = next(question for question in recipe.questions if question.key == "training.gpus")
    assert question.proposal == 32
    known = read(tmp_path, "mixtral.sh", "ckpt", gpus=32, nodes=4)
    assert values(known, "training.gpus", "cluster.nodes", "checkpoint.folder") == [32, 4, "ckpt"]
    assert "{output}" in known.value("run.command")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {"training.precision": "fp32", "training.zero_stage": 0, "checkpoint.every_steps": 0}),
        ("--fp8-format hybrid --bf16", {"training.precision": "fp8"}),
        ("--recompute-granularity full", {"training.recompute": True}),
        ("--recompute-activations", {"training.recompute": "selective"}),
        ("--save-interval 5", {"checkpoint.every_steps": 0}),
        ("--eval-iters 0", {"evaluation.every_steps": 0}),
        (
            "--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params",
            {"training.zero_stage": 3},
        ),
        ("--context-parallel-size 2", {"training.context_parallel": 2}),
    ],
)
def test_arguments_of_megatron(tmp_path: Path, words: str, expected: dict[str, object]) -> None:
    line = (
        'DISTRIBUTED_ARGS="--nproc_per_node 8"\nGPT_ARGS="--micro-batch-size 4 --num-layers 24 --seq-length 1024 --train-iters 9"\n'
        f"torchrun $DISTRIBUTED_ARGS pretrain_gpt.py $GPT_ARGS {words}\n"
    )
    put(tmp_path, run_dot_sh=line)
    recipe = read(tmp_path, "run.sh")
    assert {name: recipe.value(name) for name in expected} == expected


def test_torchtitan(tmp_path: Path) -> None:
    """pytorch/torchtitan torchtitan/models/llama3/train_configs/llama3_405b.toml at 238fa99."""
    put(tmp_path, llama3_405b_dot_toml=LLAMA3)
    recipe = read(tmp_path, "llama3_405b.toml")
    assert values(recipe, *BATCHES, *STATES, *PAUSES) == [2, None, 3000, 8192, "fp8", 3, True, 0, 0]
    assert [question.key for question in recipe.questions] == ["training.gpus"]
    assert recipe.value("run.command") == (
        *("python", "-m", "torchtitan.train", "--job.config_file=llama3_405b.toml"),
        *("--training.batch_size={batch_size}", "--training.steps={max_steps}", "--job.dump_folder={output}"),
    )
    assert values(recipe, "run.bootstrap", "training.tensor_parallel") == ["torchrun", 8]


def test_the_script_of_torchtitan(tmp_path: Path) -> None:
    """run_train.sh: NGPU and CONFIG_FILE have defaults; dotted words stand over the TOML, with dashes too."""
    script = 'NGPU=${NGPU:-"8"}\nCONFIG_FILE=${CONFIG_FILE:-"./c.toml"}\noverrides=""\nif [ $# -ne 0 ]; then overrides="$*"; fi\n'
    script += "torchrun --nproc_per_node=${NGPU} --rdzv_backend c10d --rdzv_endpoint=localhost:0 --role rank --tee 3 \\\n"
    script += "  -m torchtitan.train --job.config_file ${CONFIG_FILE} $overrides\n"
    put(tmp_path, run_train_dot_sh=script, c_dot_toml="[training]\nlocal_batch_size = 4\n[parallelism]\n")
    recipe = read(tmp_path, "run_train.sh", "--training.seq-len", "4096", "--checkpoint.enable")
    assert values(recipe, "training.gpus", *BATCHES) == [8, 4, None, 10_000, 4096]
    assert recipe.value("checkpoint.every_steps") == 500


def test_nanogpt(tmp_path: Path) -> None:
    """karpathy/nanoGPT config/train_gpt2.py at 3adf61e: the accumulation is that of all GPUs."""
    put(tmp_path, config__train_gpt2_dot_py=NANOGPT)
    recipe = read(tmp_path, "config/train_gpt2.py")
    assert values(recipe, *BATCHES, *PAUSES) == [12, 480, 600_001, 1024, 1000, 1000]
    assert [question.key for question in recipe.questions] == ["training.gpus"]
    added = ("--batch_size={batch_size}", "--out_dir={output}")
    assert recipe.value("run.command") == ("python", "train.py", "config/train_gpt2.py", *added)
    known = read(tmp_path, "config/train_gpt2.py", gpus=8)
    assert values(known, "training.accumulation", "training.precision") == [5, "bf16"]


def test_words_behind_a_nanogpt_config_stand_over_it(tmp_path: Path) -> None:
    put(
        tmp_path,
        config__train_gpt2_dot_py=NANOGPT,
        run_dot_sh="torchrun --standalone --nproc_per_node=4 train.py config/train_gpt2.py --batch_size=6 --out_dir=o",
    )
    recipe = read(tmp_path, "run.sh")
    assert values(recipe, "training.batch_size", "training.accumulation", "training.gpus") == [6, 10, 4]
    assert recipe.value("run.command")[-1] == "--out_dir={output}"


@pytest.mark.parametrize(("name", "config"), [("c.toml", LLAMA3), ("gpt2.py", NANOGPT)])
def test_a_job_file_can_be_estimated_and_submitted(
    clusterplan: Run, tmp_path: Path, name: str, config: str
) -> None:
    (tmp_path / name).write_text(config)
    (tmp_path / "train.py").write_text("")
    assert clusterplan("init", name, "--gpus", "8", cwd=tmp_path).returncode == 0
    assert clusterplan("estimate", "job.toml", cwd=tmp_path).returncode == 0
    dry_run = clusterplan("submit", "job.toml", "--dry-run", "--executor", "local", cwd=tmp_path)
    assert dry_run.returncode == 0, dry_run.stderr
