"""A training loop of one's own: what the names of its arguments say by themselves, and what they may mean.  Pure.

The names were read in the examples of transformers without a Trainer and of diffusers
(https://github.com/huggingface/diffusers, examples/text_to_image/train_text_to_image_lora.py), DeepSpeed-Chat
(https://github.com/microsoft/DeepSpeedExamples, applications/DeepSpeed-Chat/training), OpenRLHF and open_clip
(https://github.com/mlfoundations/open_clip, open_clip_train/params.py).
"""

from collections.abc import Iterator, Mapping

from ..arguments import Argument, Arguments, find_number
from ..recipe import Question, Recipe, Setting
from .deepspeed_json import parse_deepspeed_json, read_deepspeed_config
from .surroundings import Surroundings

_FRAMEWORKS = {"accelerate": "accelerate", "deepspeed": "deepspeed"}
# Trainer has none of them; `--deepspeed` alone and `--zero_stage` are DeepSpeed's own and Megatron-DeepSpeed's.
_SIGNS = {
    *(
        "train_batch_size",
        "micro_train_batch_size",
        "max_train_steps",
        "checkpointing_steps",
        "num_warmup_steps",
    ),
    *("zero_stage", "with_tracking"),
}
_PER_GPU = (
    *("per_device_train_batch_size", "micro_train_batch_size", "train_micro_batch_size_per_gpu"),
    *("per_gpu_train_batch_size", "micro_batch_size_per_gpu", "batch_size_per_gpu"),
)
_SIZES = ("max_seq_length", "max_seq_len", "model_max_length", "block_size", "max_len", "max_length")
_RECOMPUTE = ("gradient_checkpointing", "grad_checkpointing", "activation_checkpointing", "grad_checkpoint")
# Names that often mean these keys: asked, with the number as a proposal.
_GUESSES = {
    "training.batch_size": ("batch_size", "train_batch_size", "micro_batch_size", "bs"),
    "training.epochs": ("epochs", "num_epochs", "max_epochs", "n_epochs"),
    "training.accumulation": ("accumulation_steps", "grad_accum", "accum_iter", "accum_freq"),
}
_PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "bf16": ("bf16", "bfloat16", "bf16_mixed", "bf16_true", "amp_bf16", "amp_bfloat16", "pure_bf16"),
    "fp16": ("fp16", "float16", "half", "16", "16_mixed", "16_true", "amp_fp16"),
    "fp32": ("fp32", "float32", "32", "32_true", "no"),
    "fp8": ("fp8", "amp_fp8"),
}


def is_own_loop(program: str, arguments: Arguments) -> bool:
    """Return whether arguments with Trainer's names are those of another loop.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> is_own_loop("train_lora.py", parse_arguments("--num_train_epochs 4 --train_batch_size 16".split(), ""))
    True
    """
    deepspeed = arguments.get("deepspeed")
    is_bare = deepspeed is not None and deepspeed.value is True
    return "no_trainer" in program or is_bare or bool(_SIGNS & arguments.keys())


def read_own_loop(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the arguments say, and questions on those that may mean several things.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> words = "--micro_train_batch_size 1 --train_batch_size 128 --bf16 --max_epochs 2".split()
    >>> recipe = read_own_loop(parse_arguments(words, "run.sh line 3"), Surroundings())
    >>> [recipe.value(key) for key in ("training.batch_size", "training.global_batch", "training.precision")]
    [1, 128, 'bf16']
    >>> [(question.key, question.proposal) for question in recipe.questions]
    [('training.epochs', 2)]
    """
    framework = _FRAMEWORKS.get(around.launcher, "torch")
    why = "the program's arguments are its own; this rule is that of torch's DistributedSampler"
    source = f"{around.place}: {around.launcher}" if framework != "torch" else why
    recipe = Recipe.of(
        *_batches(arguments),
        *_length(arguments),
        Setting("training.framework", framework, source),
        *_states(arguments),
    )
    if _is_diffusers(arguments):
        recipe = _read_diffusers(arguments).over(recipe)
    recipe = recipe.over(_deepspeed_file(arguments, around))
    for key, names in _GUESSES.items():
        argument = next(
            (arguments[name] for name in names if name in arguments and arguments[name].number), None
        )
        is_set = recipe.value(key) is not None or (
            key == "training.epochs" and recipe.value("training.max_steps")
        )
        if not is_set and argument:
            doubt = "of a GPU, or of all?" if key == "training.batch_size" else "is that so?"
            recipe = recipe.asking(Question(key, f"{argument.source}: {doubt}", argument.number))
        elif not is_set and key == "training.batch_size" and recipe.value("training.global_batch") is None:
            recipe = recipe.asking(Question(key, f"{around.program} does not say it on its command line"))
    return recipe


def _batches(arguments: Arguments) -> Iterator[Setting]:
    per_gpu = find_number(arguments, *_PER_GPU)
    if per_gpu:
        yield Setting("training.batch_size", *per_gpu)
    whole = find_number(arguments, "train_batch_size", "global_batch_size", "global_train_batch_size")
    if per_gpu and whole:
        yield Setting("training.global_batch", *whole)
    elif accumulation := find_number(arguments, "gradient_accumulation_steps"):
        yield Setting("training.accumulation", *accumulation)


def _length(arguments: Arguments) -> Iterator[Setting]:
    steps = find_number(arguments, "max_train_steps")
    if steps and steps[0] > 0:
        yield Setting("training.max_steps", *steps)
    elif epochs := find_number(arguments, "num_train_epochs"):
        yield Setting("training.epochs", *epochs)
    if length := find_number(arguments, *_SIZES):
        yield Setting("data.seq_len", length[0], f"{length[1]}, at most: see mean_tokens")
    if samples := find_number(arguments, "train_num_samples"):
        yield Setting("data.samples", *samples)


def _states(arguments: Arguments) -> Iterator[Setting]:
    if precision := _precision(arguments):
        yield Setting("training.precision", *precision)
    if stage := find_number(arguments, "zero_stage"):
        yield Setting("training.zero_stage", *stage)
    recompute = next((arguments[name] for name in _RECOMPUTE if name in arguments), None)
    if recompute and recompute.is_on:
        yield Setting("training.recompute", value=True, source=recompute.source)


def _precision(arguments: Arguments) -> tuple[str, str] | None:
    for name in ("bf16", "fp16"):
        if name in arguments and arguments[name].is_on:
            return name, arguments[name].source
    for name in ("mixed_precision", "precision", "param_dtype", "dtype", "torch_dtype"):
        text = str(arguments[name].value).strip("'\"").lower().replace("-", "_") if name in arguments else ""
        if ours := next(
            (ours for ours, theirs in _PRECISIONS.items() if text.rpartition(".")[2] in theirs), None
        ):
            return ours, arguments[name].source
    return None


def _is_diffusers(arguments: Arguments) -> bool:
    names = arguments.keys()
    return bool({"checkpointing_steps", "max_train_steps"} & names) and bool(
        {"pretrained_model_name_or_path", "pretrained_model_name", "pretrained_teacher_model"} & names
    )


def _read_diffusers(arguments: Arguments) -> Recipe:
    """Diffusers' examples: the batch is that of a device, and `latest` is looked for in the folder of the checkpoints."""
    settings = []
    if batch := find_number(arguments, "train_batch_size"):
        settings.append(
            Setting("training.batch_size", batch[0], f"{batch[1]}, of a GPU in diffusers' examples")
        )
    every = find_number(arguments, "checkpointing_steps") or (
        500,
        "diffusers' default of checkpointing_steps",
    )
    settings.append(Setting("checkpoint.every_steps", *every))
    if isinstance(output := arguments.get("output_dir", Argument("", None, "")).value, str):
        settings.append(Setting("checkpoint.folder", output, arguments["output_dir"].source))
        words = ("--resume_from_checkpoint", "latest")
        settings.append(Setting("run.resume", words, "diffusers' option"))
    return Recipe.of(*settings)


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments whose meaning is known."""
    names: dict[str, str] = {}
    for name in _PER_GPU:
        names[name] = "{batch_size}"
    if _is_diffusers(arguments):
        names |= {
            "train_batch_size": "{batch_size}",
            "checkpointing_steps": "{save_steps}",
            "output_dir": "{output}",
        }
    if find_number(arguments, *_PER_GPU) is None or "train_batch_size" not in arguments:
        names["gradient_accumulation_steps"] = "{accumulation}"
    return {**names, "max_train_steps": "{max_steps}"}


def _deepspeed_file(arguments: Arguments, around: Surroundings) -> Recipe:
    config = arguments.get("deepspeed_config", arguments.get("deepspeed"))
    if config is None or config.value is True or not str(config.value).endswith(".json"):
        return Recipe()
    file = around.files.read(str(config.value))
    if file is None:
        return Recipe(
            remarks=(
                f"{config.source}: there is no such file here: its batches and ZeRO stage are not known",
            )
        )
    return read_deepspeed_config(parse_deepspeed_json(file.text, str(file.path)), file.path.name)
