"""`init` on public scripts: only the lines that matter stand here, in an arrangement of our own; the source is named."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from clusterplan.launcher.recipes.job_text import render_job_text
from clusterplan.launcher.recipes.recipe import Recipe
from clusterplan.launcher.recipes.source import read_command, read_source

LLAVA = """
deepspeed llava/train/train_mem.py \\
    --deepspeed ./scripts/zero3.json --version v1 \\
    --data_path ./playground/data/llava_v1_5_mix665k.json \\
    --mm_vision_select_layer -2 --bf16 True --tf32 True \\
    --output_dir ./checkpoints/llava-v1.5-13b \\
    --num_train_epochs 1 --per_device_train_batch_size 16 --gradient_accumulation_steps 1 \\
    --evaluation_strategy "no" --save_strategy "steps" --save_steps 50000 \\
    --model_max_length 2048 --gradient_checkpointing True
"""
MOE_LLAVA = """#!/bin/bash

top_k_experts=2
JSON_FOLDER="ft_json"
cd ~/MoE-LLaVA
HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1 deepspeed moellava/train/train_mem.py \\
    --top_k_experts ${top_k_experts} --deepspeed ./scripts/zero2.json \\
    --data_path ${JSON_FOLDER}/image.json ${JSON_FOLDER}/nlp_tune.json \\
    --bf16 True --output_dir ./checkpoints/llavaphi-2.7b-finetune \\
    --num_train_epochs 1 --per_device_train_batch_size 8 --gradient_accumulation_steps 2 \\
    --evaluation_strategy "no" --save_strategy "steps" --save_steps 50000 --tf32 True \\
    --model_max_length 2048 --gradient_checkpointing True
"""
MAHTI = """#!/bin/bash
#SBATCH --account=project_1
#SBATCH --partition=gpumedium
#SBATCH --nodes=2
#SBATCH --tasks-per-node=1
#SBATCH --cpus-per-task=128
#SBATCH --time=0:15:00
#SBATCH --gres=gpu:a100:4
module purge
module load pytorch/2.4
export HF_HOME=/scratch/${SLURM_JOB_ACCOUNT}/${USER}/hf-cache
mkdir -p $HF_HOME
OUTPUT_DIR=/scratch/${SLURM_JOB_ACCOUNT}/${USER}/hf-data
RDZV_HOST=$(hostname)
set -xv  # prints the command
srun torchrun --rdzv_id=$SLURM_JOB_ID --rdzv_backend=c10d --rdzv_endpoint="$RDZV_HOST:29400" \\
     --nnodes=2 --nproc-per-node=4 finetuning.py $* --output-path $OUTPUT_DIR --num-workers 10
"""
OPEN_R1 = """#!/bin/bash
#SBATCH --job-name=open-r1-sft
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gres=gpu:8
#SBATCH --partition=hopper-prod  # yours
#SBATCH --requeue
module load cuda/12.4
set -x -e
source ~/.bashrc
MODEL=$1
TASK=$2
ACCELERATOR=$4
OPTIONAL_ARGS=$5
NUM_NODES=$SLURM_NNODES
GPUS_PER_NODE=8
WORLD_SIZE=$(($NUM_NODES*$GPUS_PER_NODE))
CONFIG_FILE=recipes/$MODEL/$TASK/config_$3.yaml
GRAD_ACC_STEPS=$(grep 'gradient_accumulation_steps' $CONFIG_FILE | awk '{print $2}')
IFS=' ' read -ra ARGS <<< "$OPTIONAL_ARGS"
for arg in "${ARGS[@]}"; do
    if [[ "$arg" == "--gradient_accumulation_steps="* ]]; then GRAD_ACC_STEPS="${arg#*=}"; break; fi
done
MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)
export CMD=" src/open_r1/$TASK.py $CONFIG_FILE $OPTIONAL_ARGS"
export LAUNCHER="ACCELERATE_LOG_LEVEL=info accelerate launch \\
    --config_file recipes/accelerate_configs/$ACCELERATOR.yaml  \\
    --gradient_accumulation_steps $GRAD_ACC_STEPS \\
    --num_machines $NUM_NODES --num_processes $WORLD_SIZE \\
    --main_process_ip $MASTER_ADDR --main_process_port 6000 --machine_rank \\$SLURM_PROCID \\
    --rdzv_conf "rdzv_backend=c10d,rdzv_endpoint=$MASTER_ADDR:6000" --max_restarts 1 --tee 3 "
clear; srun --wait=60 --kill-on-bad-exit=1 --jobid $SLURM_JOB_ID bash -c "$LAUNCHER --role \\$SLURMD_NODENAME: $CMD" 2>&1
"""
OLYMPIC = """
bf16: true
torch_dtype: bfloat16
eval_strategy: 'no'
gradient_accumulation_steps: 1
gradient_checkpointing: true
max_length: 22528 # not 32k
max_steps: -1
num_train_epochs: 10
optim: paged_adamw_8bit
output_dir: data/OlympicCoder-32B
per_device_train_batch_size: 1
save_strategy: epoch
"""
FSDP = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config: {fsdp_sharding_strategy: FULL_SHARD, fsdp_activation_checkpointing: false}
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""
SWIFT = """CUDA_VISIBLE_DEVICES=0,1,2,3 \\
accelerate launch --config_file ./multi_node.yaml --machine_rank 0 \\
    swift/cli/sft.py --model org/model --train_type lora --torch_dtype bfloat16 \\
    --dataset swift/self-cognition#1000 --num_train_epochs 1 --gradient_accumulation_steps 16 \\
    --gradient_checkpointing_kwargs '{"use_reentrant": false}' --eval_steps 100 --save_steps 100
"""
MULTI_NODE = """
compute_environment: LOCAL_MACHINE
deepspeed_config: {gradient_accumulation_steps: 16, offload_optimizer_device: none, zero_stage: 3}
distributed_type: DEEPSPEED
mixed_precision: bf16
num_machines: 2
num_processes: 8  # of both
"""


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(folder: Path, script: str, *arguments: str, **stated: int) -> Recipe:
    environment = {"HOME": "/home/nobody", "USER": "ada"}
    keys = {
        {"gpus": "training.gpus", "nodes": "cluster.nodes"}[name]: count for name, count in stated.items()
    }
    recipe = read_source(Path(script), folder, arguments, environment, keys)
    tomllib.loads(render_job_text(recipe, "x"))  # whatever is asked or noted
    return recipe


def values(recipe: Recipe, *keys: str) -> list[Any]:
    return [recipe.value(key) for key in keys]


TRAINING = (
    "training.batch_size",
    "training.accumulation",
    "training.epochs",
    "data.seq_len",
    "training.precision",
)
STATES = ("training.zero_stage", "training.recompute", "checkpoint.every_steps", "evaluation.every_steps")


def test_moe_llava(tmp_path: Path) -> None:
    """PKU-YuanGroup/MoE-LLaVA scripts/v1/phi2/finetune.sh at 6cb5f66."""
    put(
        tmp_path,
        scripts__v1__phi2__finetune_dot_sh=MOE_LLAVA,
        scripts__zero2_dot_json='{"bf16": {"enabled": "auto"}, "zero_optimization": {"stage": 2}, "train_batch_size": "auto"}',
        pyproject_dot_toml='[project]\ndependencies = ["transformers==4.37.0", "torch==2.0.1"]\n',
    )
    recipe = read(tmp_path, "scripts/v1/phi2/finetune.sh")
    assert values(recipe, *TRAINING) == [8, 2, 1, 2048, "bf16"]
    assert values(recipe, *STATES) == [2, True, 50000, 0]
    assert values(recipe, "training.framework", "checkpoint.folder") == [
        "hf-4.51",
        "./checkpoints/llavaphi-2.7b-finetune",
    ]
    assert {question.key for question in recipe.questions} == {"training.gpus", "data.samples"}
    command = recipe.value("run.command")
    assert command[:5] == (
        "env",
        "HF_DATASETS_OFFLINE=1",
        "TRANSFORMERS_OFFLINE=1",
        "deepspeed",
        "moellava/train/train_mem.py",
    )
    assert command[command.index("--top_k_experts") :][:2] == ("--top_k_experts", "2")
    assert command[command.index("--output_dir") :][:2] == ("--output_dir", "{output}")
    assert command[command.index("--per_device_train_batch_size") :][:2] == (
        "--per_device_train_batch_size",
        "{batch_size}",
    )
    assert any(
        "cd /home/nobody/MoE-LLaVA is left out" in remark or "cd " in remark for remark in recipe.remarks
    )


def test_llava_without_its_config_file(tmp_path: Path) -> None:
    """haotian-liu/LLaVA scripts/v1_5/finetune.sh at c121f04."""
    put(tmp_path, finetune_dot_sh=LLAVA)
    recipe = read(tmp_path, "finetune.sh", gpus=8)
    assert values(recipe, *TRAINING) == [16, 1, 1, 2048, "bf16"]
    assert values(recipe, *STATES) == [3, True, 50000, 0]
    assert "a guess by its name" in recipe.settings["training.zero_stage"].source
    assert [question.key for question in recipe.questions] == ["data.samples"]
    assert "mix665k" in recipe.questions[0].why


def test_a_batch_script_of_mahti(tmp_path: Path) -> None:
    """CSCfi/llm-fine-tuning-examples run-finetuning-mahti-gpu8.sh at 42dd769."""
    put(tmp_path, run_dot_sh=MAHTI)
    recipe = read(tmp_path, "run.sh")
    assert values(recipe, "training.gpus", "cluster.nodes", "cluster.gpu", "run.bootstrap") == [
        8,
        2,
        "a100",
        "torchrun",
    ]
    assert values(recipe, "slurm.cpus-per-task", "cluster.partition", "submit.time") == [
        128,
        "gpumedium",
        "0:15:00",
    ]
    shell, option, text, name = recipe.value("run.command")
    assert (shell, option, name) == ("bash", "-c", "bash")
    assert text == (
        "module purge; module load pytorch/2.4; export HF_HOME=/scratch/project_1/ada/hf-cache; "
        "mkdir -p /scratch/project_1/ada/hf-cache; "
        'exec python finetuning.py --output-path /scratch/project_1/ada/hf-data --num-workers 10 "$@"'
    )
    assert {question.key for question in recipe.questions} == {"training.batch_size", "data.samples"}


def test_open_r1_with_its_arguments(tmp_path: Path) -> None:
    """huggingface/open-r1 slurm/train.slurm with recipes/OlympicCoder-32B/sft/config_v00.00.yaml at 1416fa0."""
    put(
        tmp_path,
        slurm__train_dot_slurm=OPEN_R1,
        recipes__Olympic__sft__config_v1_dot_yaml=OLYMPIC,
        recipes__accelerate_configs__fsdp_dot_yaml=FSDP,
    )
    arguments = ("slurm/train.slurm", "Olympic", "sft", "v1", "fsdp", "--use_liger=false")
    asking = read(tmp_path, *arguments)
    assert {question.key for question in asking.questions} >= {
        "cluster.nodes",
        "training.gpus",
        "data.samples",
    }
    recipe = read(tmp_path, *arguments, nodes=16, gpus=128)
    assert values(recipe, *TRAINING) == [1, 1, 10, 22528, "bf16"]
    assert values(recipe, "training.zero_stage", "training.recompute", "training.optimizer") == [
        3,
        True,
        "paged-adam-8bit",
    ]
    assert values(recipe, "checkpoint.every_epochs", "evaluation.every_steps", "slurm.exclusive") == [
        1,
        0,
        True,
    ]
    text = recipe.value("run.command")[2]
    assert "--num_machines {nodes}" in text.replace("'", "")
    assert "--num_processes {gpus}" in text.replace("'", "")
    assert '--machine_rank "$NODE_RANK"' in text
    assert "src/open_r1/sft.py recipes/Olympic/sft/config_v1.yaml --use_liger=false" in text


def test_ms_swift_by_accelerate(tmp_path: Path) -> None:
    """modelscope/ms-swift examples/train/multi-node/accelerate/train_node1.sh with multi_node.yaml at 3602360."""
    put(tmp_path, train_node1_dot_sh=SWIFT, multi_node_dot_yaml=MULTI_NODE)
    recipe = read(tmp_path, "train_node1.sh")
    assert values(recipe, "training.gpus", "cluster.nodes", "data.samples") == [8, 2, 1000]
    assert values(recipe, *TRAINING) == [1, 16, 1, None, "bf16"]
    assert values(recipe, *STATES) == [3, True, 100, 0]
    assert recipe.questions == ()


def test_a_megatron_script_of_bigscience(tmp_path: Path) -> None:
    """bigscience-workshop/bigscience train/tr11-176B-ml/tr11-176B-ml.slurm at 9e64ede: its command; Megatron has its own reader."""
    script = """#!/bin/bash
#SBATCH --qos=qos_gpu-gc             # up to 100h
#SBATCH --nodes=24
#SBATCH --ntasks-per-node=1          # crucial
#SBATCH --gres=gpu:8
#SBATCH --time 100:00:00
source $six_ALL_CCFRWORK/start-py38
MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)
GPUS_PER_NODE=8
NNODES=$SLURM_NNODES
MICRO_BATCH_SIZE=2  # was 1
GPT_ARGS=" \\
    --pp-partition-method 'type:transformer|embedding' \\
    --micro-batch-size $MICRO_BATCH_SIZE \\
    --rampup-batch-size 192 16 9_765_625 \\
    "
config_json="./ds_config.$SLURM_JOB_ID.json"
cat <<EOT > $config_json
{"train_micro_batch_size_per_gpu": $MICRO_BATCH_SIZE, "train_batch_size": 2048, "zero_optimization": {"stage": 0}, "bf16": {"enabled": true}}
EOT
export LAUNCHER="python -u -m torch.distributed.run \\
    --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES \\
    --rdzv_endpoint $MASTER_ADDR:6000 --rdzv_backend c10d --max_restarts 0 --tee 3 "
export CMD=" `pwd`/pretrain_gpt.py $GPT_ARGS --deepspeed --deepspeed_config ${config_json} "
SRUN_ARGS=" --wait=60 --kill-on-bad-exit=1 "
clear; srun $SRUN_ARGS --jobid $SLURM_JOB_ID bash -c "$LAUNCHER --node_rank \\$SLURM_PROCID $CMD" 2>&1 | tee -a main_log.txt
"""
    put(tmp_path, tr11_dot_slurm=script)
    recipe = read(tmp_path, "tr11.slurm")
    assert values(
        recipe, "training.gpus", "cluster.nodes", "training.batch_size", "training.global_batch"
    ) == [192, 24, 2, 2048]
    assert values(recipe, "training.precision", "training.zero_stage", "run.bootstrap") == [
        "bf16",
        0,
        "torchrun",
    ]
    text = recipe.value("run.command")[2]
    assert (
        f"exec python {tmp_path}/pretrain_gpt.py --pp-partition-method 'type:transformer|embedding'" in text
    )
    assert "--rampup-batch-size 192 16 9_765_625" in text
    assert "rdzv" not in text


def test_a_launch_line_by_itself(tmp_path: Path) -> None:
    words = "torchrun --nproc_per_node 4 --nnodes 2 train.py --num_train_epochs 2 --output_dir=out --max_steps 50".split()
    recipe = read_command(words, tmp_path, {}, {})
    assert values(recipe, "training.gpus", "cluster.nodes", "training.max_steps", "training.epochs") == [
        8,
        2,
        50,
        None,
    ]
    assert recipe.value("run.command") == (
        *(
            "python",
            "train.py",
            "--num_train_epochs",
            "2",
            "--output_dir={output}",
            "--max_steps",
            "{max_steps}",
        ),
    )


def test_srun_with_a_task_per_gpu(tmp_path: Path) -> None:
    """The habit of OpenMMLab: everything on srun's own line."""
    put(
        tmp_path,
        slurm_train_dot_sh="srun -p vision --gres=gpu:8 --ntasks=16 --ntasks-per-node=8 --cpus-per-task=5 python -u tools/train.py x.py\n",
    )
    recipe = read(tmp_path, "slurm_train.sh")
    assert values(recipe, "training.gpus", "cluster.nodes", "run.bootstrap", "cluster.partition") == [
        16,
        2,
        "per-gpu",
        "vision",
    ]
    assert values(recipe, "slurm.cpus-per-task", "run.command") == [
        5,
        ("python", "-u", "tools/train.py", "x.py"),
    ]


@pytest.mark.parametrize("other", ["python evaluate.py", "python tools/convert.py", "python preprocess.py"])
def test_the_line_that_trains_is_chosen_and_others_are_named(tmp_path: Path, other: str) -> None:
    put(tmp_path, run_dot_sh=f"#SBATCH --gres=gpu:1\n{other} --x 1\npython train.py\n{other}\n")
    recipe = read(tmp_path, "run.sh")
    assert recipe.value("run.command") == ("python", "train.py")
    assert sum(other in remark for remark in recipe.remarks) == 2


def test_commented_lines_are_not_taken_and_windows_ends_are_named(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_bytes(
        b"#!/bin/bash\r\n##SBATCH -p old\r\n#SBATCH --gres=gpu:2\r\n# python no.py\r\npython train.py \\\r\n  --a 'b c'\r\n"
    )
    recipe = read(tmp_path, "run.sh")
    assert recipe.value("cluster.partition") is None
    assert recipe.value("run.command") == ("python", "train.py", "--a", "b c")
    assert any("dos2unix" in remark for remark in recipe.remarks)
    assert any("##SBATCH -p old" in remark for remark in recipe.remarks)


def test_places_that_differ_are_both_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        run_dot_sh="#SBATCH -N 2 --gres=gpu:4\nsrun torchrun --nnodes 2 --nproc_per_node 8 train.py\n",
    )
    (question,) = (q for q in read(tmp_path, "run.sh").questions if q.key == "training.gpus")
    assert question.why == (
        "run.sh line 1: --gres=gpu:4 --nodes=2 makes 8 GPUs, run.sh line 2: --nnodes 2 --nproc_per_node 8 makes 16 GPUs"
    )
