"""The arguments of Megatron-LM and Megatron-DeepSpeed.  Pure.

Names and defaults were read in Megatron-LM core 0.8 to 0.17 (https://github.com/NVIDIA/Megatron-LM,
megatron/training/arguments.py), and in Megatron-DeepSpeed as BigScience used it.
"""

import math
from collections.abc import Iterator, Mapping

from ...arguments import Arguments, find_number
from ...recipe import Question, Recipe, Setting
from ..deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from ..surroundings import Surroundings

_SIGNS = {
    *(
        "tensor_model_parallel_size",
        "pipeline_model_parallel_size",
        "num_layers",
        "hidden_size",
        "seq_length",
    ),
    *("num_attention_heads", "train_iters", "train_samples", "global_batch_size", "lr_decay_iters"),
}
_FEWEST_SIGNS = 2
_PARALLEL = {
    "tensor_model_parallel_size": "tensor_parallel",
    "pipeline_model_parallel_size": "pipeline_parallel",
    "context_parallel_size": "context_parallel",
}
_FSDP_STAGES = {"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3}
_ENDS_A_JOB = ("exit_duration_in_mins", "exit_interval")
_LEAVES_OPEN = ("step_batch_size_schedule", "decrease_batch_size_if_needed")


def is_megatron(_: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of Megatron-LM."""
    return "micro_batch_size" in arguments and len(_SIGNS & arguments.keys()) >= _FEWEST_SIGNS


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders: checkpoints are loaded from where they are saved, unless other weights are."""
    places = {"micro_batch_size": "{batch_size}", "train_iters": "{max_steps}", "save": "{output}"}
    save, load = arguments.get("save"), arguments.get("load")
    return {**places, "load": "{output}"} if save and load and save.value == load.value else places


def read_megatron(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the arguments say, and the defaults of those that are absent.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--micro-batch-size 1 --global-batch-size 256 --seq-length 4096 --train-iters 500 --bf16".split()
    >>> recipe = read_megatron(parse_arguments(words, "run.sh line 9"), Surroundings())
    >>> [recipe.value(key) for key in ("training.global_batch", "training.max_steps", "training.zero_stage", "checkpoint.every_steps")]
    [256, 500, 0, 0]
    """
    recipe = Recipe.of(
        *_batches(arguments),
        *_length(arguments),
        *read_parallel(arguments),
        *_states(arguments),
        *_pauses(arguments),
        Setting("training.framework", "megatron", "Megatron's arguments"),
        remarks=tuple(_remarks(arguments)),
    )
    recipe = _with_deepspeed(recipe, arguments, around)
    if "save" in arguments:
        recipe = recipe.set(
            Setting("run.resume", ("--load", "{output}"), "Megatron loads the newest checkpoint there")
        )
    if schedule := arguments.get("step_batch_size_schedule"):
        why = f"{schedule.source}: the batch grows by this schedule, which no key has"
        recipe = recipe.asking(Question("training.global_batch", why))
    return _ask_experts(_with_fitting_gpus(recipe, around.gpus), arguments, around.gpus)


def _batches(arguments: Arguments) -> Iterator[Setting]:
    yield from _number(arguments, "training.batch_size", "micro_batch_size")
    yield from _number(arguments, "training.global_batch", "global_batch_size")
    yield from _number(arguments, "data.seq_len", "seq_length", "encoder_seq_length")
    if rampup := arguments.get("rampup_batch_size"):
        words = rampup.value if isinstance(rampup.value, list) else str(rampup.value).split()
        counts = tuple(
            int(str(word).replace("_", "")) for word in words if str(word).replace("_", "").isdecimal()
        )
        yield Setting("training.batch_rampup", counts, rampup.source)


def _length(arguments: Arguments) -> Iterator[Setting]:
    samples = find_number(arguments, "train_samples")
    if samples:
        yield Setting("data.samples", *samples)
        yield Setting("training.epochs", 1, "the samples are those of the whole run")
    yield from _number(arguments, "training.max_steps", "train_iters")


def read_parallel(arguments: Arguments) -> Iterator[Setting]:
    """Yield the sizes of tensor, pipeline and context parallel."""
    for name, ours in _PARALLEL.items():
        if (size := find_number(arguments, name)) and size[0] > 1:
            yield Setting(f"training.{ours}", *size)


def _states(arguments: Arguments) -> Iterator[Setting]:
    precision = next((name for name in ("bf16", "fp16") if name in arguments and arguments[name].is_on), None)
    if fp8 := arguments.get("fp8_format", arguments.get("fp8_hybrid")):
        yield Setting("training.precision", "fp8", fp8.source)
    elif precision:
        yield Setting("training.precision", precision, arguments[precision].source)
    else:
        yield Setting("training.precision", "fp32", "Megatron's default: neither --bf16 nor --fp16 is given")
    distributed = arguments.get("use_distributed_optimizer")
    if sharding := [*read_sharding(arguments)]:
        yield from sharding
    elif distributed:
        yield Setting("training.zero_stage", 1, distributed.source)
    else:
        yield Setting("training.zero_stage", 0, "Megatron's default: no --use-distributed-optimizer")
    granularity = arguments.get("recompute_granularity")
    if granularity and granularity.value == "full":
        yield Setting("training.recompute", value=True, source=granularity.source)
    elif granularity and granularity.value == "selective":
        yield Setting("training.recompute", "selective", granularity.source)
    elif selective := arguments.get("recompute_activations"):
        yield Setting("training.recompute", "selective", selective.source)
    else:
        names = ("checkpoint_activations", "deepspeed_activation_checkpointing")
        if old := next((arguments[name] for name in names if name in arguments), None):
            yield Setting("training.recompute", value=True, source=old.source)
    yield from _number(arguments, "architecture.layers", "num_layers")
    yield from _number(arguments, "architecture.hidden", "hidden_size")


def read_sharding(arguments: Arguments) -> Iterator[Setting]:
    """Yield the stage of ZeRO that Megatron's or torch's FSDP is; nothing without one."""
    shards = arguments.get("use_megatron_fsdp", arguments.get("use_custom_fsdp"))
    strategy = arguments.get("data_parallel_sharding_strategy")
    if shards and strategy:
        yield Setting("training.zero_stage", _FSDP_STAGES.get(str(strategy.value), 0), strategy.source)
    elif fsdp2 := arguments.get("use_torch_fsdp2"):
        yield Setting("training.zero_stage", 3, fsdp2.source)


def _pauses(arguments: Arguments) -> Iterator[Setting]:
    save, interval = arguments.get("save"), find_number(arguments, "save_interval")
    if save and interval:
        yield Setting("checkpoint.every_steps", *interval)
    else:
        yield Setting(
            "checkpoint.every_steps", 0, "Megatron saves nothing without --save and --save-interval"
        )
    if save and isinstance(save.value, str):
        yield Setting("checkpoint.folder", save.value, save.source)
    iterations = find_number(arguments, "eval_iters") or (100, "Megatron's default of --eval-iters")
    interval = find_number(arguments, "eval_interval") or (
        1000,
        "Megatron's default of --eval-interval up to core 0.15",
    )
    if not iterations[0]:
        yield Setting("evaluation.every_steps", 0, iterations[1])
        return
    yield Setting("evaluation.every_steps", *interval)
    if batch := find_number(arguments, "global_batch_size"):
        samples = int(iterations[0] * batch[0])
        yield Setting("evaluation.samples", samples, f"{iterations[1]} x the global batch")


def _with_deepspeed(recipe: Recipe, arguments: Arguments, around: Surroundings) -> Recipe:
    """Megatron-DeepSpeed: its JSON repeats the batches, and has the stage of ZeRO."""
    if "deepspeed" not in arguments:
        return recipe
    stage = find_number(arguments, "zero_stage")
    recipe = recipe.set(Setting("training.zero_stage", *stage)) if stage else recipe
    config = arguments.get("deepspeed_config")
    file = around.files.read(str(config.value)) if config else None
    if file is None:
        return recipe
    read = read_deepspeed_config(parse_deepspeed_json(file.text, str(file.path)), file.path.name)
    return read.without("training.batch_size", "training.global_batch", "training.accumulation").over(recipe)


def _with_fitting_gpus(recipe: Recipe, gpus: int | None) -> Recipe:
    """A question where the model's parallel sizes do not fit into the GPUs: an example that was never run so."""
    sizes = {name: int(recipe.value(f"training.{name}") or 1) for name in _PARALLEL.values()}
    replica = math.prod(sizes.values())
    if gpus is None or gpus % replica == 0:
        return recipe
    shown = " x ".join(f"{name.replace('_', ' ')} {size}" for name, size in sizes.items() if size > 1)
    why = f"{gpus} GPUs are no multiple of {shown} = {replica}"
    return recipe.without("cluster.nodes").asking(Question("training.gpus", why, math.lcm(gpus, replica)))


def _ask_experts(recipe: Recipe, arguments: Arguments, gpus: int | None) -> Recipe:
    """A question where the GPUs do not hold the experts; their parallel size needs the size of the experts."""
    experts = find_number(arguments, "expert_model_parallel_size")
    if not experts or experts[0] <= 1:
        return recipe
    size = int(experts[0])
    held = int(recipe.value("training.tensor_parallel") or 1) * int(
        recipe.value("training.pipeline_parallel") or 1
    )
    if gpus and (gpus // held) % size:
        why = (
            f"{gpus} GPUs / {held} of tensor and pipeline parallel are no multiple of expert parallel {size}"
        )
        recipe = recipe.asking(Question("training.gpus", why, math.lcm(gpus, held * size)))
    needs = "expert_parallel needs architecture.parameters and active_parameters"
    return recipe.noting(f"{experts[1]}: {needs}: with both, set training.expert_parallel = {size}")


def _remarks(arguments: Arguments) -> Iterator[str]:
    for name in _ENDS_A_JOB:
        if name in arguments:
            yield f"{arguments[name].source}: ends one job, not the run: clusterplan ends jobs itself"
    if "sequence_parallel" in arguments:
        yield f"{arguments['sequence_parallel'].source}: a mode of tensor parallelism, no key of the job file"
    for name in _LEAVES_OPEN[1:]:
        if name in arguments:
            yield f"{arguments[name].source}: the batch may differ"


def _number(arguments: Arguments, key: str, *names: str) -> Iterator[Setting]:
    if found := find_number(arguments, *names):
        yield Setting(key, *found)
