"""axolotl's YAML.  Pure.

Names and defaults were read in axolotl at 067b021 (https://github.com/axolotl-ai-cloud/axolotl: utils/schemas/,
core/trainer_builder.py, utils/trainer.py, cli/config.py); `--key=value` behind the YAML stands over its keys.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ...arguments import Arguments, find_number, nest_arguments
from ...recipe import Question, Recipe, Setting
from ..accelerate_yaml import read_fsdp_config
from ..optimizer import read_optimizer
from ..surroundings import Surroundings
from ..trainer_files import add_trainer_files
from .adapter import name_model, note_adapter

_NAME = "axolotl"
_SIGNS = {
    "micro_batch_size",
    "sequence_len",
    "num_epochs",
    "sample_packing",
    "val_set_size",
    "adapter",
    "chat_template",
    "datasets",
    "pretraining_dataset",
}
_MODULE = "axolotl.cli.train"


def is_axolotl(program: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of axolotl."""
    return program == _MODULE or ("base_model" in arguments and bool(_SIGNS & arguments.keys()))


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments; axolotl refuses accumulation beside `batch_size`."""
    accumulates = "batch_size" not in arguments or "gradient_accumulation_steps" in arguments
    return {
        "micro_batch_size": "{batch_size}",
        **({"gradient_accumulation_steps": "{accumulation}"} if accumulates else {}),
        "output_dir": "{output}",
    }


def read_axolotl(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the config says, and the defaults of keys that are absent.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> config = {"base_model": "org/m", "val_set_size": 0.05, "num_epochs": 4, "saves_per_epoch": 1, "evals_per_epoch": 4}
    >>> recipe = read_axolotl(list_arguments(config, "qlora.yaml", {}), Surroundings())
    >>> [recipe.value(key) for key in ("training.batch_size", "checkpoint.every_steps", "evaluation.every_steps")]
    [1, 0.25, 0.0625]
    """
    epochs = find_number(arguments, "num_epochs") or (1, f"{_NAME}'s default: num_epochs is not given")
    recipe = Recipe.of(
        *_batches(arguments),
        *_length(arguments, epochs),
        *_precision(arguments),
        *_states(arguments),
        *_pauses(arguments, epochs),
        *_parallel(arguments),
        remarks=tuple(_remarks(arguments)),
    )
    if optimizer := arguments.get("optimizer"):
        recipe = recipe.over(read_optimizer(str(optimizer.value), optimizer.source))
    recipe = recipe.over(_samples(arguments)).over(_sharding(arguments)).over(_method(arguments))
    recipe = add_trainer_files(recipe, arguments, around)
    words = ("--resume_from_checkpoint={latest}",)
    return recipe.set(Setting("run.resume", words, f"{_NAME}'s key"))


def _batches(arguments: Arguments) -> Iterator[Setting]:
    micro, source = find_number(arguments, "micro_batch_size") or (
        1,
        f"{_NAME}'s default: micro_batch_size is not given",
    )
    yield Setting("training.batch_size", micro, source)
    if accumulation := find_number(arguments, "gradient_accumulation_steps"):
        yield Setting("training.accumulation", *accumulation)
    elif per_gpu := find_number(arguments, "batch_size"):
        each = max(int(per_gpu[0] // micro), 1)
        yield Setting("training.accumulation", each, f"{per_gpu[1]} of a GPU / micro_batch_size")


def _length(arguments: Arguments, epochs: tuple[int | float, str]) -> Iterator[Setting]:
    steps = find_number(arguments, "max_steps")
    if steps and steps[0] > 0:
        yield Setting("training.max_steps", steps[0], f"{steps[1]}, or num_epochs if those are fewer steps")
    else:
        yield Setting("training.epochs", *epochs)
    length, source = find_number(arguments, "sequence_len") or (
        512,
        f"{_NAME}'s default: sequence_len is not given",
    )
    most = ", of packed rows" if _is_on(arguments, "sample_packing") else ", at most: see mean_tokens"
    yield Setting("data.seq_len", length, f"{source}{most}")


def _precision(arguments: Arguments) -> Iterator[Setting]:
    bf16 = arguments.get("bf16", arguments.get("bfloat16"))
    fp16 = arguments.get("fp16", arguments.get("float16"))
    if bf16 and (bf16.is_on or bf16.value == "full"):
        yield Setting("training.precision", "bf16", bf16.source)
        if bf16.value == "full":
            yield Setting("training.master_weights", value=False, source=bf16.source)
    elif fp16 and (fp16.is_on or fp16.value == "full"):
        yield Setting("training.precision", "fp16", fp16.source)
    elif bf16 and bf16.is_off:
        tf32 = arguments.get("tf32")
        precision = "tf32" if tf32 and tf32.is_on else "fp32"
        yield Setting("training.precision", precision, tf32.source if tf32 and tf32.is_on else bf16.source)
    else:
        source = bf16.source if bf16 else f"{_NAME}'s default of bf16"
        yield Setting("training.precision", "auto", f"{source}: bf16 where the GPU has it, otherwise fp16")


def _states(arguments: Arguments) -> Iterator[Setting]:
    recompute = arguments.get("gradient_checkpointing")
    if recompute and not recompute.is_off:  # true, offload, offload_disk
        yield Setting("training.recompute", value=True, source=recompute.source)


def _pauses(arguments: Arguments, epochs: tuple[int | float, str]) -> Iterator[Setting]:
    yield _pause(arguments, "checkpoint", "save", "saves_per_epoch", epochs)
    share = find_number(arguments, "val_set_size")
    if not (share and share[0] > 0) and not any(name.startswith("test_datasets") for name in arguments):
        yield Setting("evaluation.every_steps", 0, f"{_NAME} evaluates nothing without val_set_size")
        return
    yield _pause(arguments, "evaluation", "eval", "evals_per_epoch", epochs)
    if share and share[0] < 1:
        yield Setting("data.validation_share", *share)
    elif share:
        yield Setting("evaluation.samples", *share)


def _pause(
    arguments: Arguments, table: str, verb: str, per_epoch: str, epochs: tuple[int | float, str]
) -> Setting:
    """Every so many steps; a share of all steps; else at the end of each epoch."""
    steps, times = find_number(arguments, f"{verb}_steps"), find_number(arguments, per_epoch)
    strategy = arguments.get(
        f"{verb}_strategy", arguments.get("evaluation_strategy" if verb == "eval" else "")
    )
    if steps:
        return Setting(f"{table}.every_steps", *steps)
    if times and times[0] > 0:
        return Setting(
            f"{table}.every_steps", 1 / (times[0] * epochs[0]), f"{times[1]}, of {epochs[0]} epochs"
        )
    if strategy and strategy.is_off:
        return Setting(f"{table}.every_steps", 0, strategy.source)
    source = (
        strategy.source if strategy else f"{_NAME}'s default: neither {verb}_steps nor {per_epoch} is given"
    )
    return Setting(f"{table}.every_epochs", 1, source)


def _parallel(arguments: Arguments) -> Iterator[Setting]:
    names = {
        "tensor_parallel_size": "tensor_parallel",
        "context_parallel_size": "context_parallel",
        "sequence_parallel_degree": "context_parallel",
    }
    for name, ours in names.items():
        if (size := find_number(arguments, name)) and size[0] > 1:
            yield Setting(f"training.{ours}", *size)


def _sharding(arguments: Arguments) -> Recipe:
    config: dict[str, Any] = nest_arguments(arguments, "fsdp_config")
    words = arguments.get("fsdp")
    if not config and words is None:
        shards = find_number(arguments, "dp_shard_size")
        return (
            Recipe.of(Setting("training.zero_stage", 3, shards[1])) if shards and shards[0] > 1 else Recipe()
        )
    listed = str(words.value).replace("'", " ").replace(",", " ").strip("[]").split() if words else []
    strategy = next((word.upper() for word in listed if word in _STRATEGIES), None)
    if strategy and not any("sharding_strategy" in key for key in config):
        config["sharding_strategy"] = strategy
    if "offload" in listed:
        config["offload_params"] = True
    version = arguments.get("fsdp_version")
    if version and "fsdp_version" not in config:
        config["version"] = version.value
    if words:
        place = words.source.rpartition(":")[0]
    else:
        place = next(iter(a.source for n, a in arguments.items() if n.startswith("fsdp_config."))).rpartition(
            ":"
        )[0]
    return Recipe.of(*read_fsdp_config(config, place))


_STRATEGIES = ("full_shard", "shard_grad_op", "hybrid_shard", "hybrid_shard_zero2", "no_shard")


def _samples(arguments: Arguments) -> Recipe:
    sets = arguments.get("datasets")
    listed = sets.value if sets and isinstance(sets.value, list) else []
    names = [str(each.get("path")) for each in listed if isinstance(each, Mapping)]
    of = f" of {', '.join(names)}" if names else ""
    unit = "packed rows of sequence_len tokens" if _is_on(arguments, "sample_packing") else "samples"
    why = f"{unit} per epoch{of}, before the split for validation; rows longer than sequence_len are dropped"
    return Recipe(questions=(Question("data.samples", why),))


def _method(arguments: Arguments) -> Recipe:
    bits = next((b for b in (4, 8) if _is_on(arguments, f"load_in_{b}bit")), None)
    adapter = arguments.get("adapter")
    bits_source = arguments[f"load_in_{bits}bit"].source if bits else ""
    method = str(adapter.value) if adapter else ""
    source = adapter.source if adapter else bits_source
    recipe = note_adapter(method, source, bits, bits_source)
    model = name_model(arguments, "base_model")
    return recipe if model is None else recipe.set(Setting("model", model, arguments["base_model"].source))


def _remarks(arguments: Arguments) -> Iterator[str]:
    if (patience := find_number(arguments, "early_stopping_patience")) and patience[0]:
        yield f"{patience[1]}: training may stop early"
    if _is_on(arguments, "sample_packing"):
        yield f"{arguments['sample_packing'].source}: axolotl counts steps by the packed batches of its sampler"
    if arguments.get("rl"):
        yield f"{arguments['rl'].source}: samples are pairs or prompts"


def _is_on(arguments: Arguments, name: str) -> bool:
    return name in arguments and arguments[name].is_on
