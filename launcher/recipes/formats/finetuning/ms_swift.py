"""The arguments of ms-swift's `swift sft`, `pt` and `rlhf`: Trainer's, with other defaults.  Pure.

Names and defaults were read in ms-swift 4.5 at 3602360 (https://github.com/modelscope/ms-swift, swift/arguments).
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ...arguments import Arguments, find_number
from ...launch.claims import GpuClaim
from ...recipe import Question, Recipe, Setting
from ..hf_trainer import TrainerDefaults, read_trainer
from ..surroundings import Surroundings
from ..trainer_files import add_trainer_files
from .adapter import name_model, note_adapter

_DEFAULTS = TrainerDefaults("ms-swift", batch_size=1, recompute=True)
_SAMPLES_PER_STEP = 16  # where no accumulation is given
_BUILT_IN = re.compile(r"zero([0-3])(_offload)?")  # DeepSpeed configs that it has itself
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def is_swift(program: str, arguments: Arguments) -> bool:
    """Return whether a program is ms-swift's, or arguments are those of its config files."""
    by_name = re.search(r"(^|/)swift/cli/\w+\.py$|swift\.cli\.\w+$", program) or program.startswith("swift ")
    kinds = {"tuner_type", "train_type", "sft_type"} & arguments.keys()
    return bool(by_name) or bool(kinds and "dataset" in arguments and "model" in arguments)


def placeholders_of(arguments: Arguments) -> dict[str, str]:
    """Return the placeholders that stand in place of arguments.

    A restart finds no checkpoint in `output_dir/v0-<time>`: add_version has to be off.  What `--config` names (ms-swift 3)
    stands over the words of the line: there is no use in any.
    """
    if "config" in arguments:
        return {}
    places = {
        "per_device_train_batch_size": "{batch_size}",
        "gradient_accumulation_steps": "{accumulation}",
        "output_dir": "{output}",
    }
    return places if "sft_type" in arguments else {**places, "add_version": "false"}


def claim_gpus(arguments: Arguments) -> Iterator[GpuClaim]:
    """Yield the GPUs of the table ENV in a config; its values are variables of the environment."""
    per_node = find_number(arguments, "ENV.NPROC_PER_NODE")
    nodes = find_number(arguments, "ENV.NNODES")
    if per_node:
        count = int(nodes[0]) if nodes else 1
        yield GpuClaim(int(per_node[0]) * count, count, per_node[1])


def read_swift_program(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the arguments say, with the files that they name."""
    recipe = read_swift(arguments, around.gpus)
    deepspeed = arguments.get("deepspeed")
    built_in = _BUILT_IN.fullmatch(str(deepspeed.value)) if deepspeed else None
    if deepspeed and built_in:
        stage = Setting("training.zero_stage", int(built_in[1]), deepspeed.source)
        parts = ("optimizer", "parameters") if built_in[1] == "3" else ("optimizer",)
        offload = [Setting("training.offload", parts, deepspeed.source)] if built_in[2] else []
        recipe = recipe.over(Recipe.of(stage, *offload))
        arguments = {name: value for name, value in arguments.items() if name != "deepspeed"}
    if (fsdp := arguments.get("fsdp")) and str(fsdp.value) == "fsdp2":
        recipe = recipe.set(Setting("training.zero_stage", 3, fsdp.source))
    if "config" in arguments:
        why = "ms-swift 3 reads it over the words of the line: set output_dir and add_version: false in the file"
        recipe = recipe.noting(f"{arguments['config'].source}: {why}, or a restart finds no checkpoint")
    if around.program.startswith("swift "):
        recipe = recipe.set(Setting("run.bootstrap", "single", "swift starts a process per GPU itself"))
    return add_trainer_files(recipe, arguments, around)


def read_swift(arguments: Arguments, gpus: int | None) -> Recipe:
    """Return what the arguments say; `gpus` decide the accumulation where none is given.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--dataset org/a#1000 org/b#500 --torch_dtype bfloat16 --eval_steps 100".split()
    >>> recipe = read_swift(parse_arguments(words, "run.sh line 1"), gpus=8)
    >>> [recipe.value(key) for key in ("data.samples", "training.batch_size", "training.accumulation", "evaluation.every_steps")]
    [1500, 1, 2, 0]
    """
    epochs = {"num_train_epochs": arguments["max_epochs"]} if "max_epochs" in arguments else {}
    recipe = read_trainer({**arguments, **epochs}, _DEFAULTS)
    recipe = Recipe.of(*_evaluations(arguments), *_parallel(arguments)).over(recipe)
    if dtype := arguments.get("torch_dtype"):
        precision = DTYPES.get(str(dtype.value).rpartition(".")[2])
        recipe = (
            recipe.over(Recipe.of(Setting("training.precision", precision, dtype.source)))
            if precision
            else recipe
        )
        recipe = replace(
            recipe, remarks=tuple(remark for remark in recipe.remarks if dtype.source not in remark)
        )
    recipe = recipe.over(read_samples(arguments)).over(read_method(arguments))
    if recipe.value("training.accumulation") is None:
        recipe = recipe.over(_accumulation(int(recipe.value("training.batch_size") or 1), gpus))
    return recipe


def _parallel(arguments: Arguments) -> Iterator[Setting]:
    names = {"sequence_parallel_size": "sequence_parallel", "deepspeed_autotp_size": "tensor_parallel"}
    for name, ours in names.items():
        if (size := find_number(arguments, name)) and size[0] > 1:
            yield Setting(f"training.{ours}", *size)


def read_method(arguments: Arguments, default: str = "lora") -> Recipe:
    """Return the model's name, and what is left to say of its adapter; `default` is the method where none is given."""
    names = ("tuner_type", "train_type", "sft_type")
    method = next((arguments[name] for name in names if name in arguments), None)
    bits = find_number(arguments, "quant_bits")
    source = method.source if method else "ms-swift's default of tuner_type"
    recipe = note_adapter(
        str(method.value) if method else default,
        source,
        int(bits[0]) if bits else None,
        bits[1] if bits else "",
    )
    model = name_model(arguments, "model", "model_id_or_path", "model_type")
    return recipe if model is None else recipe.set(Setting("model", model, "the model's name"))


def _accumulation(batch_size: int, gpus: int | None) -> Recipe:
    rule = "ms-swift's default: 16 / micro-batch / GPUs, rounded up"
    if gpus is None:
        return Recipe(questions=(Question("training.accumulation", f"{rule}; the GPUs are not known"),))
    return Recipe.of(
        Setting("training.accumulation", max(-(-_SAMPLES_PER_STEP // (batch_size * gpus)), 1), rule)
    )


def evaluates(arguments: Arguments) -> bool:
    """Return whether there are data for evaluations."""
    ratio = arguments.get("split_dataset_ratio")
    return "val_dataset" in arguments or (ratio is not None and (ratio.number or 0) > 0)


def _evaluations(arguments: Arguments) -> Iterator[Setting]:
    """None without data for them, whatever eval_steps says; otherwise as often as checkpoints."""
    if not evaluates(arguments):
        yield Setting(
            "evaluation.every_steps",
            0,
            "ms-swift evaluates nothing without val_dataset or split_dataset_ratio",
        )
    elif (steps := arguments.get("eval_steps", arguments.get("save_steps"))) and steps.number:
        yield Setting("evaluation.every_steps", steps.number, steps.source)
    else:
        yield Setting("evaluation.every_steps", 500, "ms-swift's default: as save_steps")


def read_samples(arguments: Arguments) -> Recipe:
    """Return the samples, if every data set is `name#N`, which takes N of its rows."""
    dataset = arguments.get("dataset")
    if dataset is None:
        return Recipe()
    names = dataset.value if isinstance(dataset.value, list) else str(dataset.value).split()
    counts = [re.search(r"#(\d+)$", str(name)) for name in names]
    if not all(counts):
        return Recipe()
    total = sum(int(match[1]) for match in counts if match)
    ratio = arguments.get("split_dataset_ratio")
    share = float(ratio.number or 0) if ratio else 0
    settings = [Setting("data.samples", total, dataset.source)]
    settings += [Setting("data.validation_share", share, ratio.source)] if ratio and share else []
    return Recipe.of(*settings)
