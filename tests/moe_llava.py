"""The training scripts of MoE-LLaVA and LLaVA, with the lines that matter in an arrangement of our own, and a stand-in for the trainer.

https://github.com/PKU-YuanGroup/MoE-LLaVA/tree/6cb5f66e/scripts/v1,
https://github.com/haotian-liu/LLaVA/tree/c121f04/scripts/v1_5
"""

from dataclasses import dataclass
from pathlib import Path

_ZERO = '{"bf16": {"enabled": "auto"}, "train_batch_size": "auto", "zero_optimization": {"stage": %d}}'
_MODELS = {  # of MoE-LLaVA: its folder, what its checkpoints are called, the modules that become experts
    "stablelm": ("llavastablelm-1.6b", "gate_proj up_proj down_proj wg"),
    "qwen": ("llavaqwen-1.8b", "mlp.w1 mlp.w2 mlp.c_proj wg"),
    "phi2": ("llavaphi-2.7b", "fc1 fc2 wg"),
    "openchat": ("llavaopenchat-7b", "up_proj down_proj gate_proj wg"),
}
_PT_DATA, _FT_DATA = (
    "${JSON_FOLDER}/llava_image_.json",
    "${JSON_FOLDER}/llava_image_tune_.json ${JSON_FOLDER}/nlp_tune.json",
)


@dataclass(frozen=True)
class Stage:
    """One script: what it says, the size of its data, and the steps that follow on 8 GPUs."""

    script: str
    samples: int
    batch_size: int
    accumulation: int
    save_steps: int
    zero_stage: int
    steps: int
    output: str
    program: str = "moellava/train/train_mem.py"
    more: str = ""
    arguments: str = ""

    @property
    def is_of_projector(self) -> bool:
        """Return whether the projector alone is trained."""
        return "--tune_mm_mlp_adapter" in self.arguments

    def text(self) -> str:
        """Return the script."""
        return f"""#!/bin/bash

{self.more}{"HF_DATASETS_OFFLINE=1 TRANSFORMERS_OFFLINE=1 " if self.more else ""}deepspeed {self.program} \\
    {self.arguments} \\
    --deepspeed ./scripts/zero{self.zero_stage}.json \\
    --mm_vision_select_layer -2 \\
    --bf16 True --tf32 True \\
    --output_dir ./checkpoints/{self.output} \\
    --num_train_epochs 1 \\
    --per_device_train_batch_size {self.batch_size} \\
    --per_device_eval_batch_size 4 \\
    --gradient_accumulation_steps {self.accumulation} \\
    --evaluation_strategy "no" --save_strategy "steps" \\
    --save_steps {self.save_steps} --save_total_limit 1 \\
    --weight_decay 0. --learning_rate 2e-5 \\
    --model_max_length 2048 \\
    --gradient_checkpointing True \\
    --lazy_preprocess True
"""


def _moe_llava(model: str) -> tuple[Stage, ...]:
    name, modules = _MODELS[model]
    folder, more = f"scripts/v1/{model}", 'JSON_FOLDER="ft_json"\ncd ~/MoE-LLaVA\n'
    projector = f"--tune_mm_mlp_adapter True --data_path {_PT_DATA}"
    experts = (
        f"--moe_enable True --num_experts ${{num_experts}} --train_modules {modules} --data_path {_FT_DATA}"
    )
    batch, steps = (4, 5197) if model == "openchat" else (8, 5198)
    return (
        Stage(f"{folder}/pretrain.sh", 558_128, 32, 1, 24_000, 2, 2181, f"{name}-pretrain", more=more, arguments=projector),
        Stage(f"{folder}/finetune.sh", 964_000, 8, 2, 50_000, 2, 7531, f"{name}-finetune", more=more, arguments="--data_path ${JSON_FOLDER}/la_tune_256k.json"),
        Stage(f"{folder}/finetune_moe.sh", 665_298, batch, 16 // batch, 24_000, 2, steps, f"{name}-finetune-moe", more=f"num_experts=4\n{more}", arguments=experts),
    )  # fmt: skip


_LLAVA = "llava/train/train_mem.py"
_MIX = "--data_path ./playground/data/llava_v1_5_mix665k.json"
_LORA = f"--lora_enable True --lora_r 128 --mm_projector_lr 2e-5 {_MIX}"
MOE_LLAVA = tuple(stage for model in _MODELS for stage in _moe_llava(model))
LLAVA = tuple(
    Stage(f"scripts/v1_5/{script}.sh", samples, batch, 1, save, zero, steps, output, _LLAVA, arguments=arguments)
    for script, samples, batch, save, zero, steps, output, arguments in (
        ("pretrain", 558_128, 32, 24_000, 2, 2181, "llava-v1.5-13b-pretrain", "--tune_mm_mlp_adapter True"),
        ("finetune", 665_298, 16, 50_000, 3, 5198, "llava-v1.5-13b", _MIX),
        ("finetune_lora", 665_298, 16, 50_000, 3, 5198, "llava-v1.5-13b-lora", _LORA),
        ("finetune_task", 665_298, 16, 50_000, 3, 5198, "llava-v1.5-13b-task", _MIX),
        ("finetune_task_lora", 665_298, 16, 50_000, 3, 5198, "llava-v1.5-13b-task-lora", _LORA),
    )
)  # fmt: skip


def write_repository(folder: Path, *stages: Stage) -> Path:
    """Write a clone with these scripts, the DeepSpeed configs, and the version of transformers that both pin."""
    for stage in stages:
        path = folder / stage.script
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stage.text())
    for zero in (2, 3):
        (folder / f"scripts/zero{zero}.json").write_text(_ZERO % zero)
    (folder / "pyproject.toml").write_text('[project]\ndependencies = ["torch", "transformers==4.37.0"]\n')
    return folder


# It takes the arguments, saves `checkpoint-N` as Trainer does, goes on from the newest as LLaVA's program does, and is
# told to stop in the middle without saving, as transformers 4.37.
STAND_IN = """
import json, os, sys, time
from pathlib import Path

words = sys.argv[1:]
values = {word[2:]: value for word, value in zip(words, words[1:]) if word.startswith("--")}
for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "deepspeed", "bf16"):
    assert name in values, name
assert os.environ["HF_DATASETS_OFFLINE"] == "1"
output, every, last = Path(values["output_dir"]), int(values["save_steps"]), int(os.environ["STEPS"])
step = max((int(path.name.rpartition("-")[2]) for path in output.glob("checkpoint-*")), default=0)
print("goes on from", step, flush=True)
while step < last:
    step += 1
    time.sleep(float(os.environ["STEP_TIME"]))
    if step % every == 0:
        new = output / f"tmp-checkpoint-{step}"
        new.mkdir(parents=True)
        (new / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        (new / "model.safetensors").write_bytes(b"weights")
        new.rename(output / f"checkpoint-{step}")
print("trained", step, "steps", flush=True)
"""


def write_stand_ins(folder: Path, programs: Path) -> None:
    """Write the stand-in for the trainer into a clone, and one for the launcher, `deepspeed`, into a folder of programs."""
    trainer = folder / "moellava/train/train_mem.py"
    trainer.parent.mkdir(parents=True, exist_ok=True)
    trainer.write_text(STAND_IN)
    programs.mkdir(parents=True, exist_ok=True)
    launcher = programs / "deepspeed"
    launcher.write_text('#!/bin/sh\nexec python "$@"\n')
    launcher.chmod(0o755)
