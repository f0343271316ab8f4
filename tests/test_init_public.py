"""`init` on public scripts that were read wrongly before: the lines that matter, in an arrangement of our own."""

from pathlib import Path

import pytest

from clusterplan.estimator.job.framework import Bootstrap
from clusterplan.launcher.command.processes.faults import find_command_faults
from clusterplan.launcher.command.processes.nodes import Surroundings
from clusterplan.launcher.recipes.recipe import Recipe
from clusterplan.launcher.recipes.source import read_source

ENVIRONMENT = {"HOME": "/home/nobody", "PATH": "/usr/bin:/bin"}


def read(folder: Path, text: str, *arguments: str, name: str = "run.sh", **stated: int) -> Recipe:
    (folder / name).write_text(text)
    keys = {f"{'training' if key == 'gpus' else 'cluster'}.{key}": count for key, count in stated.items()}
    return read_source(Path(name), folder, arguments, ENVIRONMENT, keys)


def questions(recipe: Recipe) -> dict[str, object]:
    return {question.key: question.proposal for question in recipe.questions}


def remarks_with(recipe: Recipe, words: str) -> list[str]:
    return [remark for remark in recipe.remarks if words in remark]


# https://github.com/microsoft/DeepSpeedExamples applications/DeepSpeed-Chat/training/step1_supervised_finetuning
DEEPSPEED_CHAT = """
OUTPUT=$1
ZERO_STAGE=$2
if [ "$OUTPUT" == "" ]; then OUTPUT=./output_step1; fi
if [ "$ZERO_STAGE" == "" ]; then ZERO_STAGE=3; fi
mkdir -p $OUTPUT
deepspeed main.py --data_split 2,4,4 --per_device_train_batch_size 4 --num_train_epochs 2 --max_seq_len 512 \\
   --gradient_accumulation_steps 1 --gradient_checkpointing --zero_stage $ZERO_STAGE --deepspeed --output_dir $OUTPUT \\
   &> $OUTPUT/training.log
"""


def test_deepspeed_chat_is_no_trainer(tmp_path: Path) -> None:
    recipe = read(tmp_path, DEEPSPEED_CHAT, gpus=8, nodes=1)
    taken = {key: setting.value for key, setting in recipe.settings.items() if key.startswith("training.")}
    assert taken == {
        "training.gpus": 8,
        "training.batch_size": 4,
        "training.accumulation": 1,
        "training.epochs": 2,
        "training.framework": "deepspeed",
        "training.zero_stage": 3,
        "training.recompute": True,
        "training.precision": "auto",
    }
    assert recipe.value("run.resume") is None  # it has no such option
    assert recipe.value("checkpoint.every_steps") is None


def test_deepspeed_on_two_nodes_is_started_on_each(tmp_path: Path) -> None:
    """Its loop reads --local_rank, which torchrun does not give."""
    recipe = read(
        tmp_path, DEEPSPEED_CHAT.replace("deepspeed main", "deepspeed --num_gpus 8 main"), gpus=16, nodes=2
    )
    text = recipe.value("run.command")[2]
    assert (
        'hostnames "$SLURM_JOB_NODELIST" | sed "s/$/ slots=$NPROC_PER_NODE/" > "$CLUSTERPLAN_RUN_FOLDER/hosts.$NODE_RANK"'
        in text
    )
    assert 'exec deepspeed --no_ssh --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR"' in text
    assert '/hosts.$NODE_RANK" main.py --data_split' in text
    assert recipe.value("run.bootstrap") == "single"
    around = Surroundings(2, 16)
    faults = find_command_faults(recipe.value("run.command"), Bootstrap.SINGLE, around, {}, is_stated=True)
    assert not [fault for fault in faults if fault.code == "node-alone"]


def test_a_trainer_of_deepspeed_on_two_nodes_is_started_by_torchrun(tmp_path: Path) -> None:
    line = "deepspeed --num_gpus 8 t.py --per_device_train_batch_size 4 --output_dir out --deepspeed z.json\n"
    recipe = read(tmp_path, line, gpus=16, nodes=2)
    assert recipe.value("run.bootstrap") == "torchrun"
    assert recipe.value("run.command")[:2] == ("python", "t.py")
    assert remarks_with(read(tmp_path, line.replace("--num_gpus 8", "")), "for more give --nodes")


def test_arguments_that_a_script_tests_for_are_missing_where_none_are_given(tmp_path: Path) -> None:
    (text,) = (word for word in read(tmp_path, DEEPSPEED_CHAT).value("run.command") if "deepspeed" in word)
    assert "--zero_stage 3 --deepspeed --output_dir ./output_step1" in text
    (text,) = (w for w in read(tmp_path, DEEPSPEED_CHAT, "out", "2").value("run.command") if "deepspeed" in w)
    assert "--zero_stage 2 --deepspeed --output_dir out" in text


def test_diffusers_counts_its_batch_by_gpu(tmp_path: Path) -> None:
    """A common call of https://github.com/huggingface/diffusers examples/text_to_image/train_text_to_image_lora.py."""
    line = (
        "accelerate launch --num_machines=1 --num_processes=1 --gpu_ids=2 --mixed_precision=bf16 train_lora.py "
        "--pretrained_model_name_or_path=x --train_batch_size=16 --num_train_epochs=450 --checkpointing_steps=5 --output_dir=out\n"
    )
    recipe = read(tmp_path, line)
    keys = ("training.batch_size", "training.epochs", "training.framework", "checkpoint.every_steps")
    assert [recipe.value(key) for key in keys] == [16, 450, "accelerate", 5]
    assert recipe.settings["training.precision"].source == "run.sh line 1: --mixed_precision=bf16"
    command = recipe.value("run.command")
    assert {
        "--train_batch_size={batch_size}",
        "--checkpointing_steps={save_steps}",
        "--output_dir={output}",
    } <= {*command}
    assert recipe.value("run.resume") == ("--resume_from_checkpoint", "latest")
    assert not any("gpu_ids" in word for word in command)
    assert remarks_with(recipe, "--gpu_ids=2 is left out: Slurm chooses the GPUs")


def test_options_behind_a_line_without_its_backslash_are_named(tmp_path: Path) -> None:
    """As in copies of https://github.com/huggingface/diffusers examples: a comment between the lines ends the command."""
    script = "accelerate launch t.py --max_train_steps=10 \\\n  # no mixed precision on a mac\n  --mixed_precision=fp16 \\\n  --seed 1\n"
    recipe = read(tmp_path, script)
    assert recipe.value("training.precision") == "auto"
    (remark,) = remarks_with(recipe, "--mixed_precision=fp16 --seed 1")
    assert "the one above it does not end in a backslash, or a comment stands between" in remark


def test_openrlhf_reads_its_arguments_from_a_here_document(tmp_path: Path) -> None:
    """https://github.com/OpenRLHF/OpenRLHF examples/scripts/train_sft_llama.sh."""
    script = (
        "read -r -d '' training_commands <<EOF\n../train_sft.py --train_batch_size 128 --micro_train_batch_size 1 \\\n"
        "  --zero_stage 2 --max_epochs 1 --bf16 --gradient_checkpointing\nEOF\n"
        'if [[ ${1} != "slurm" ]]; then\n  export PATH=$HOME/.local/bin/:$PATH\n  deepspeed $training_commands\nfi\n'
    )
    recipe = read(tmp_path, script, gpus=8, nodes=1)
    keys = ("training.batch_size", "training.global_batch", "training.zero_stage", "training.precision")
    assert [recipe.value(key) for key in keys] == [1, 128, 2, "bf16"]
    assert questions(recipe) == {"training.epochs": 1, "data.samples": None}
    text = recipe.value("run.command")[2]
    assert 'PATH="/home/nobody/.local/bin/:$PATH"' in text  # the PATH of the run, not of this machine


def test_the_image_of_srun_is_the_container_of_the_run(tmp_path: Path) -> None:
    """https://github.com/OpenRLHF/OpenRLHF examples/scripts/train_llama_slurm.sh: the guard would start inside otherwise."""
    line = '#SBATCH --gres=gpu:8\nsrun --container-image="x/y:1" --container-mounts="/a:/b,/c" torchrun --nproc_per_node 8 t.py\n'
    recipe = read(tmp_path, line)
    assert [recipe.value(key) for key in ("run.container", "run.container_mounts", "run.srun")] == [
        "x/y:1",
        ("/a:/b", "/c"),
        None,
    ]


# https://github.com/mlfoundations/open_clip docs/script_examples/stability_example.sh: --exclusive, and no GPU is stated
OPEN_CLIP = """#!/bin/bash
#SBATCH --nodes 30
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --exclusive
srun --cpu_bind=v python -m training.main --train-num-samples 135646078 --batch-size=375 --epochs=97 \\
    --grad-checkpointing --precision amp_bfloat16 --resume latest
"""


def test_a_task_per_gpu_is_proposed_where_no_gpus_are_stated(tmp_path: Path) -> None:
    recipe = read(tmp_path, OPEN_CLIP)
    assert questions(recipe) == {"training.gpus": 240, "training.batch_size": 375, "training.epochs": 97}
    keys = ("run.bootstrap", "slurm.cpus-per-task", "data.samples", "training.precision")
    assert [recipe.value(key) for key in keys] == ["per-gpu", 12, 135646078, "bf16"]
    assert recipe.settings["cluster.nodes"].source == "run.sh line 2: --nodes=30 --ntasks-per-node=8"


def test_a_source_is_the_line_of_the_argument(tmp_path: Path) -> None:
    """Variables and arrays of a script, as https://github.com/NVIDIA/Megatron-LM examples/bert has them."""
    script = """SIZES=(
    --per_device_train_batch_size 4  # each
    --num_train_epochs 2
)
MORE="--bf16 True
    --save_steps 100"
torchrun --nproc_per_node=8 \\
    --nnodes 1 train.py \\
    --output_dir out $MORE \\
    "${SIZES[@]}"
"""
    sources = {key: setting.source for key, setting in read(tmp_path, script).settings.items()}
    assert sources["training.batch_size"] == "run.sh line 2: --per_device_train_batch_size 4"
    assert sources["training.epochs"] == "run.sh line 3: --num_train_epochs 2"
    assert sources["training.precision"] == "run.sh line 5: --bf16 True"
    assert sources["checkpoint.every_steps"] == "run.sh line 6: --save_steps 100"
    assert sources["checkpoint.folder"] == "run.sh line 9: --output_dir out"
    assert sources["training.gpus"] == "run.sh line 7: --nproc_per_node=8 --nnodes 1"
    assert sources["run.command"] == "run.sh line 7"


def test_mpirun_keeps_its_python(tmp_path: Path) -> None:
    head = "#SBATCH --nodes=2 --ntasks-per-node=4 --gres=gpu:4\n"
    recipe = read(tmp_path, f"{head}mpirun -np 8 -x NCCL_DEBUG -map-by slot python -u train.py --lr 1\n")
    words = "mpirun -np {gpus} -x NCCL_DEBUG -map-by slot python -u train.py --lr 1"
    assert recipe.value("run.command") == tuple(words.split())


@pytest.mark.parametrize(
    ("line", "gpus", "command"),
    [
        # https://github.com/mosaicml/llm-foundry scripts/train/README.md
        ("composer -n 8 train/train.py a.yaml", 8, "composer -n {gpus} train/train.py a.yaml"),
        # https://github.com/pytorch/torchtune README.md
        (
            "tune run --nproc_per_node 4 full_finetune_distributed",
            4,
            "tune run --nproc_per_node {gpus} full_finetune_distributed",
        ),
        # https://github.com/hpcaitech/ColossalAI applications/ColossalChat/examples/training_scripts/train_sft.sh
        (
            "colossalai run --nproc_per_node 4 --hostfile ./h --master_port 3 t.py",
            4,
            "colossalai run --nproc_per_node {gpus} t.py",
        ),
        (
            "fabric run --devices=2 --strategy=ddp t.py --devices 9",
            2,
            "fabric run --devices={gpus} --strategy=ddp t.py --devices 9",
        ),
        (
            "timeout 2h uv run accelerate launch --num_processes 2 t.py",
            2,
            "timeout 2h uv run accelerate launch --num_processes {gpus} t.py",
        ),
        (
            "accelerate launch --use_parallelism_config --num_processes 2 t.py",
            2,
            "accelerate launch --use_parallelism_config --num_processes {gpus} t.py",
        ),
    ],
)
def test_launchers_are_those_that_a_submission_knows(
    tmp_path: Path, line: str, gpus: int, command: str
) -> None:
    recipe = read(tmp_path, f"{line}\n")
    assert (recipe.value("training.gpus"), recipe.value("run.command")) == (gpus, tuple(command.split()))


def test_a_command_of_the_run_gets_the_variables_of_the_script(tmp_path: Path) -> None:
    """https://github.com/huggingface/open-r1 slurm/train.slurm greps a number out of a file that a variable names."""
    script = "F=a.yaml\nN=$(grep '^n' $F | awk '{print $2}')\npython train.py --n $N --x $(hostname)$F\n"
    assert read(tmp_path, script).value("run.command")[2] == (
        """exec python train.py --n "$(grep '^n' a.yaml | awk '{print $2}')" --x "$(hostname)a.yaml" "$@\""""
    )


@pytest.mark.parametrize(
    "words",
    ["--model zephyr --task sft --accelerator zero3", "--accelerator zero3 --task sft --model zephyr"],
)
def test_a_script_with_options_of_its_own_is_followed(tmp_path: Path, words: str) -> None:
    """https://github.com/huggingface/alignment-handbook recipes/launch.slurm."""
    (tmp_path / "zephyr.yaml").write_text(
        "per_device_train_batch_size: 16\nnum_train_epochs: 1\noutput_dir: out\nbf16: true\n"
    )
    script = """#!/bin/bash
#SBATCH --nodes=1 --ntasks-per-node=1 --gres=gpu:8
while [[ $# -gt 0 ]]; do
  case $1 in
    --model) MODEL="$2"; shift 2 ;;
    --task) TASK="$2"; shift 2 ;;
    --accelerator) ACCELERATOR="$2"; shift 2 ;;
    *) echo "Unknown option: $1"; exit 1 ;;
  esac
done
if [[ -z "$MODEL" || -z "$TASK" ]]; then
  echo "Error: Missing required arguments"
  exit 1
fi
export LAUNCHER="ACCELERATE_LOG_LEVEL=info accelerate launch --config_file $ACCELERATOR.yaml --num_machines $SLURM_NNODES \\
    --num_processes 8 --machine_rank $SLURM_PROCID "
srun --wait=60 bash -c "$LAUNCHER scripts/$TASK.py --config $MODEL.yaml" 2>&1
"""
    recipe = read(tmp_path, script, *words.split())
    keys = ("training.batch_size", "training.epochs", "training.precision", "training.gpus")
    assert [recipe.value(key) for key in keys] == [16, 1, "bf16", 8]
    assert recipe.value("run.command")[-3:] == ("scripts/sft.py", "--config", "zephyr.yaml")
    assert remarks_with(recipe, "--config_file zero3.yaml: there is no such file here")


def test_the_settings_that_a_script_sources_are_known(tmp_path: Path) -> None:
    """https://github.com/OpenRLHF/OpenRLHF examples/scripts/train_llama_slurm.sh sources the script with the arguments."""
    (tmp_path / "sft.sh").write_text(
        'ARGS="t.py --micro_train_batch_size 2"\nif [[ ${1} != "slurm" ]]; then deepspeed $ARGS; fi\n'
    )
    recipe = read(
        tmp_path, "#SBATCH --gres=gpu:8\nsource ./sft.sh slurm\nsrun torchrun --nproc_per_node 8 $ARGS\n"
    )
    assert recipe.value("training.batch_size") == 2
    assert recipe.settings["training.batch_size"].source == "run.sh line 3: --micro_train_batch_size 2"
    text = recipe.value("run.command")[2]
    assert text == """source ./sft.sh slurm; exec python t.py --micro_train_batch_size '{batch_size}' "$@\""""


def test_an_argument_of_the_script_in_its_setup_is_asked(tmp_path: Path) -> None:
    """`source activate $1`, as Lightning's Slurm template has it: inside `bash -c` the run's own arguments would be $1."""
    recipe = read(tmp_path, "#SBATCH --gres=gpu:1\nsource activate $1\nsrun python3 train.py\n")
    (question,) = (question for question in recipe.questions if question.key == "run.arguments")
    assert "$1 has no value here" in question.why


def test_the_folder_of_the_script_is_known_before_it_runs(tmp_path: Path) -> None:
    """As in https://github.com/hpcaitech/Open-Sora scripts/train.sh: in `bash -c` there is no such file, and none is $0."""
    lines = """
        HERE="$( cd -- "$( dirname -- "${BASH_SOURCE[0]}" )" &> /dev/null && pwd )"
        ROOT=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
        FIRST=$(cat list.txt | awk '{print $0}')
        cd $HERE/..
        torchrun --nproc_per_node 8 train.py --here $HERE --root $ROOT --first $FIRST
    """
    text = read(tmp_path, lines).value("run.command")[2]
    assert f"cd {tmp_path}/.. && exec python train.py --here {tmp_path} " in text
    assert '"$(git -C "$(dirname "run.sh")" rev-parse --show-toplevel)"' in text
    assert """"$(cat list.txt | awk '{print $0}')\"""" in text


# https://github.com/huggingface/open-r1 slurm/train.slurm, and so the scripts of
# https://github.com/bigscience-workshop/bigscience
OPEN_R1 = """#SBATCH --gres=gpu:8 --nodes=1
OPTIONAL_ARGS=$3
export CMD=" src/open_r1/$1.py recipes/$2.yaml $OPTIONAL_ARGS "
export LAUNCHER="HF_HUB_ENABLE_HF_TRANSFER=1 accelerate launch --num_machines $SLURM_NNODES --num_processes 8 \\
    --main_process_ip $(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1) --machine_rank \\$SLURM_PROCID "
clear; reset; srun bash -c "$LAUNCHER --role \\$SLURMD_NODENAME: $CMD" 2>&1
"""


def test_variables_that_became_the_launch_line_are_not_exported(tmp_path: Path) -> None:
    recipe = read(tmp_path, OPEN_R1, "sft", "demo")  # $3 is empty, as for bash
    command = " ".join(recipe.value("run.command"))
    assert command.startswith("env HF_HUB_ENABLE_HF_TRANSFER=1 accelerate launch"), command
    assert command.endswith("src/open_r1/sft.py recipes/demo.yaml")
    assert "run.arguments" not in questions(recipe)
    assert not remarks_with(recipe, "reset")


def test_a_script_that_sets_up_its_surroundings_stands_before_the_program(tmp_path: Path) -> None:
    """https://github.com/allenai/OLMo scripts/7b-on-lumi.sh."""
    line = "srun -N 2 --ntasks-per-node=8 --gres=gpu:8 ./with_environment.sh python scripts/train.py c4.yaml --compile=null\n"
    recipe = read(tmp_path, line)
    words = ("./with_environment.sh", "python", "scripts/train.py", "c4.yaml", "--compile=null")
    assert recipe.value("run.command") == words
    assert (recipe.value("run.bootstrap"), recipe.value("training.gpus")) == ("per-gpu", 16)


def test_a_training_script_that_is_not_here_is_named(tmp_path: Path) -> None:
    """https://github.com/lm-sys/FastChat scripts/train_vicuna_13b_slurm.sh."""
    recipe = read(tmp_path, "#SBATCH --gres=gpu:8\nsrun scripts/single_node.sh\n")
    (question,) = (question for question in recipe.questions if question.key == "run.command")
    assert "run.sh line 2 starts scripts/single_node.sh, which is not here" in question.why


def test_no_argument_is_no_empty_argument(tmp_path: Path) -> None:
    """https://github.com/pytorch/torchtitan multinode_trainer.slurm ends in "$@"."""
    recipe = read(tmp_path, 'python train.py --config a "$@"\n')
    assert recipe.value("run.command") == ("python", "train.py", "--config", "a")
