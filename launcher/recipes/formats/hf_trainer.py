"""The arguments of Hugging Face's Trainer, from a command line or a YAML file.  Pure.

Names and defaults were read in transformers 4.37 to 5.24 (https://github.com/huggingface/transformers,
src/transformers/training_args.py).  A default that decides the number of steps is written with a comment that it is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..arguments import Argument, Arguments, find_number
from ..recipe import Recipe, Setting
from .optimizer import read_optimizer

_BATCH = ("per_device_train_batch_size", "per_gpu_train_batch_size")
_SIGNS = {*_BATCH, "num_train_epochs"}
_FURTHER_SIGNS = {
    "save_steps",
    "logging_steps",
    "save_strategy",
    "save_total_limit",
    "eval_strategy",
    "evaluation_strategy",
}
_LENGTHS = ("model_max_length", "max_seq_length", "max_length", "block_size", "cutoff_len", "max_seq_len")
_FSDP_STAGES = {
    "full_shard": 3,
    "shard_grad_op": 2,
    "hybrid_shard": 3,
    "hybrid_shard_zero2": 2,
    "no_shard": 0,
}
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32"}
_COMMENTED = {
    "auto_find_batch_size": "Trainer may halve the micro-batch: the steps would change",
    "eval_delay": "evaluations begin later",
    "load_best_model_at_end": "the best checkpoint is loaded at the end",
    "group_by_length": "the lengths of a batch are alike",
    # LLaVATrainer._save_checkpoint, https://github.com/haotian-liu/LLaVA/blob/main/llava/train/llava_trainer.py
    "tune_mm_mlp_adapter": "checkpoints hold LLaVA's projector alone, and nothing resumes from them: ask for the time that it needs in all",
    "streaming": "the data have no length of their own: max_steps has to be the length of the run",
}


@dataclass(frozen=True)
class TrainerDefaults:
    """What holds for arguments that are absent: Trainer's own, or those of a library around it, called `name`."""

    name: str = "Trainer"
    batch_size: int = 8
    epochs: int = 3
    save_steps: int = 500
    recompute: bool = False


def is_trainer(arguments: Arguments) -> bool:
    """Return whether the arguments are those of a Trainer."""
    names = arguments.keys()
    return bool(_SIGNS & names) or ("output_dir" in names and bool(_FURTHER_SIGNS & names))


def read_trainer(arguments: Arguments, defaults: TrainerDefaults | None = None) -> Recipe:
    """Return what the arguments say, and the defaults of those that are absent.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--per_device_train_batch_size 4 --max_steps -1 --save_strategy epoch --bf16".split()
    >>> recipe = read_trainer(parse_arguments(words, "run.sh line 2"))
    >>> for setting in recipe.settings.values():
    ...     print(setting.key, setting.value, "#", setting.source)
    training.batch_size 4 # run.sh line 2: --per_device_train_batch_size 4
    training.epochs 3 # Trainer's default: num_train_epochs is not given
    training.precision bf16 # run.sh line 2: --bf16
    evaluation.every_steps 0 # Trainer's default: no evaluation
    checkpoint.every_epochs 1 # run.sh line 2: --save_strategy epoch
    """
    defaults = defaults or TrainerDefaults()
    recipe = Recipe.of(
        *_length(arguments, defaults),
        *_precision(arguments),
        *_states(arguments, defaults),
        *_evaluations(arguments, defaults),
        *_saves(arguments, defaults),
        remarks=tuple(_remarks(arguments)),
    )
    if optimizer := arguments.get("optim"):
        recipe = recipe.over(read_optimizer(str(optimizer.value), optimizer.source))
    return recipe


def _length(arguments: Arguments, defaults: TrainerDefaults) -> Iterator[Setting]:
    """The batches and the length of the run."""
    if batch := find_number(arguments, *_BATCH):
        yield Setting("training.batch_size", batch[0], batch[1])
    elif not any(name in arguments for name in _BATCH):
        absent = f"{defaults.name}'s default: {_BATCH[0]} is not given"
        yield Setting("training.batch_size", defaults.batch_size, absent)
    if accumulation := find_number(arguments, "gradient_accumulation_steps"):
        yield Setting("training.accumulation", accumulation[0], accumulation[1])
    steps = find_number(arguments, "max_steps")
    epochs = find_number(arguments, "num_train_epochs")
    if steps and steps[0] > 0:  # it overrides the epochs
        yield Setting("training.max_steps", steps[0], steps[1])
    elif epochs:
        yield Setting("training.epochs", epochs[0], epochs[1])
    elif "num_train_epochs" not in arguments:
        yield Setting(
            "training.epochs", defaults.epochs, f"{defaults.name}'s default: num_train_epochs is not given"
        )
    if (drop := arguments.get("dataloader_drop_last")) and drop.is_on:
        yield Setting("training.drop_last", value=True, source=drop.source)
    if generations := find_number(arguments, "num_generations"):
        yield Setting("training.generations", generations[0], generations[1])
    if length := find_number(arguments, *_LENGTHS):
        most = "" if (packing := arguments.get("packing")) and packing.is_on else ", at most: see mean_tokens"
        yield Setting("data.seq_len", length[0], f"{length[1]}{most}")


def _precision(arguments: Arguments) -> Iterator[Setting]:
    switches = [arguments[name] for name in ("bf16", "fp16", "tf32") if name in arguments]
    on = next((switch for switch in switches if switch.is_on), None)
    if on:
        yield Setting("training.precision", on.name, on.source)
    elif any(switch.name != "tf32" and switch.is_off for switch in switches):
        off = next(switch for switch in switches if switch.name != "tf32" and switch.is_off)
        yield Setting("training.precision", "fp32", off.source)


def _states(arguments: Arguments, defaults: TrainerDefaults) -> Iterator[Setting]:
    names = (
        "gradient_checkpointing",
        "activation_checkpointing",
        "grad_checkpoint",
    )  # the last is InternVL's
    recompute = next((arguments[name] for name in names if name in arguments), None)
    if recompute and recompute.is_on:
        yield Setting("training.recompute", value=True, source=recompute.source)
    elif defaults.recompute and recompute is None:
        absent = f"{defaults.name}'s default: gradient_checkpointing is not given"
        yield Setting("training.recompute", value=True, source=absent)
    fsdp = arguments.get("fsdp")
    words = (
        str(fsdp.value).replace("[", " ").replace("]", " ").replace(",", " ").replace("'", " ").split()
        if fsdp
        else []
    )
    stage = next((_FSDP_STAGES[word] for word in words if word in _FSDP_STAGES), None)
    if fsdp and stage is not None:
        yield Setting("training.zero_stage", stage, fsdp.source)
        if "offload" in words:
            yield Setting("training.offload", ("optimizer", "parameters"), fsdp.source)


def _evaluations(arguments: Arguments, defaults: TrainerDefaults) -> Iterator[Setting]:
    strategy = arguments.get("eval_strategy", arguments.get("evaluation_strategy"))
    source = strategy.source if strategy else f"{defaults.name}'s default: no evaluation"
    name = _strategy(strategy) if strategy else "no"
    if name == "steps":
        logging = find_number(arguments, "logging_steps")
        steps = find_number(arguments, "eval_steps") or logging
        yield _interval("evaluation", steps, source, 500, f"{defaults.name}'s default of logging_steps")
    elif name == "epoch":
        yield Setting("evaluation.every_epochs", 1, source)
    else:
        yield Setting("evaluation.every_steps", 0, source)


def _saves(arguments: Arguments, defaults: TrainerDefaults) -> Iterator[Setting]:
    strategy = arguments.get("save_strategy")
    name = _strategy(strategy) if strategy else "steps"
    if strategy and name == "epoch":
        yield Setting("checkpoint.every_epochs", 1, strategy.source)
    elif strategy and name == "no":
        yield Setting("checkpoint.every_steps", 0, strategy.source)
    elif name == "steps":
        steps = find_number(arguments, "save_steps")
        yield _interval(
            "checkpoint", steps, "", defaults.save_steps, f"{defaults.name}'s default of save_steps"
        )


def _strategy(argument: Argument) -> str:
    """YAML 1.1 reads `no` as false, and `IntervalStrategy.STEPS` stands in some files."""
    text = str(argument.value).strip("'\"").lower().rpartition(".")[2]
    return "no" if argument.is_off else text


def _interval(
    table: str, steps: tuple[int | float, str] | None, source: str, default: int, absent: str
) -> Setting:
    if steps is None:
        return Setting(f"{table}.every_steps", default, f"{source}; {absent}".removeprefix("; "))
    return Setting(f"{table}.every_steps", *steps)


def _remarks(arguments: Arguments) -> Iterator[str]:
    for name, note in _COMMENTED.items():
        if name in arguments and not arguments[name].is_off:
            yield f"{arguments[name].source}: {note}"
    dtype = arguments.get("torch_dtype", arguments.get("dtype"))
    switched = any(name in arguments for name in ("bf16", "fp16"))
    if dtype and not switched and str(dtype.value).rpartition(".")[2] in _DTYPES:
        yield f"{dtype.source}: the weights are loaded so; without --bf16 or --fp16 Trainer computes in it, without autocast"
