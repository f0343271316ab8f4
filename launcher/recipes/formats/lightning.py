"""Lightning's Trainer, as LightningCLI and hydra configs have it: `trainer.max_epochs`, `data.batch_size`.  Pure.

Names and defaults are those of Lightning 2.6 (https://lightning.ai/docs/pytorch/stable/common/trainer.html,
https://lightning.ai/docs/pytorch/stable/cli/lightning_cli.html), and the old ones of 1.x.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..arguments import Arguments, find_number
from ..launch.claims import GpuClaim
from ..recipe import Question, Recipe, Setting
from .lightning_words import read_devices, read_precision
from .nemo import has_nemo_batches, read_nemo
from .surroundings import Surroundings

_NAME = "Lightning"
_SIGNS = {
    f"trainer.{name}"
    for name in (
        *(
            "accelerator",
            "strategy",
            "devices",
            "max_epochs",
            "max_steps",
            "accumulate_grad_batches",
            "num_nodes",
        ),
        *("check_val_every_n_epoch", "val_check_interval", "gpus"),
    )
}
_BATCHES = ("batch_size", "train_batch_size", "batch_size_per_gpu", "batch_size_per_device")


def is_lightning(_: str, arguments: Arguments) -> bool:
    """Return whether arguments are those of Lightning's Trainer, with dashes as its CLI has them."""
    return bool(_SIGNS & arguments.keys())


def is_lightning_by_hydra(program: str, arguments: Arguments) -> bool:
    """Return whether they are words of hydra: `trainer.max_epochs=5`, or its `_target_` in a config."""
    words = any(
        not a.is_option and a.at is not None for name, a in arguments.items() if name.startswith("trainer")
    )
    return is_lightning(program, arguments) and (words or "trainer._target_" in arguments)


def placeholders_of(arguments: Arguments) -> Mapping[str, str]:
    """Return the placeholders that stand in place of arguments."""
    places = {"trainer.accumulate_grad_batches": "{accumulation}", "trainer.max_steps": "{max_steps}"}
    names = _batch_names(arguments)
    return {**places, names[0]: "{batch_size}"} if len(names) == 1 else places


def placeholders_by_hydra(arguments: Arguments) -> Mapping[str, str]:
    """Return the same for hydra, which refuses keys that no config has; its batch size may be that of all GPUs."""
    places = placeholders_of(arguments)
    return {name: text for name, text in places.items() if name in arguments and text != "{batch_size}"}


def claim_gpus(arguments: Arguments) -> Iterator[GpuClaim]:
    """Yield the GPUs: `devices` of each of `num_nodes`."""
    accelerator = arguments.get("trainer.accelerator")
    if accelerator is None or str(accelerator.value) not in ("cpu", "tpu", "mps"):
        name = "trainer.devices" if "trainer.devices" in arguments else "trainer.gpus"
        yield from read_devices(arguments, name, "trainer.num_nodes")


def read_lightning(arguments: Arguments, around: Surroundings) -> Recipe:
    """Return what the settings say, and the defaults of those that are absent.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> trainer = {"devices": 4, "max_epochs": 20, "precision": "bf16-mixed", "strategy": "fsdp", "val_check_interval": 500}
    >>> config = {"trainer": trainer, "data": {"init_args": {"batch_size": 32}}}
    >>> recipe = read_lightning(list_arguments(config, "cli.yaml", {}), Surroundings())
    >>> keys = ("training.batch_size", "training.epochs", "training.precision", "training.zero_stage", "evaluation.every_steps")
    >>> [recipe.value(key) for key in keys]
    [32, 20, 'bf16', 3, 500]
    """
    is_nemo = has_nemo_batches(arguments)
    framework = Setting("training.framework", "lightning", "Lightning's Trainer")
    recipe = Recipe.of(
        *_length(arguments),
        *read_precision(arguments, "trainer.precision"),
        *_strategy(arguments),
        *_evaluations(arguments),
        *(() if is_nemo else _saves(arguments)),
        Setting("training.framework", "megatron", "NeMo's batches are Megatron's") if is_nemo else framework,
        Setting(
            "run.bootstrap", "per-gpu", f"{_NAME} starts no processes in a job of Slurm: one task per GPU"
        ),
        remarks=tuple(_remarks(arguments)),
    )
    by_hydra = is_lightning_by_hydra(around.program, arguments)
    recipe = recipe.over(read_nemo(arguments) if is_nemo else _batches(arguments, by_hydra=by_hydra))
    words = ("ckpt_path={latest}",) if by_hydra else ("--ckpt_path={latest}",)
    if around.on_line and not is_nemo:
        recipe = recipe.set(Setting("run.resume", words, f"{_NAME}'s argument of fit"))
    return recipe


def _batch_names(arguments: Arguments) -> list[str]:
    """The arguments that are a batch size of training: `data.batch_size`, `model.init_args.batch_size`."""
    outer = ("data", "datamodule", "model", "dataset")
    names = [
        n
        for n in arguments
        if n.rpartition(".")[2] in _BATCHES and n.partition(".")[0] in (*outer, *_BATCHES)
    ]
    return [
        name
        for name in names
        if arguments[name].number and not {"val", "test", "eval"} & set(name.split("."))
    ]


def _batches(arguments: Arguments, *, by_hydra: bool) -> Recipe:
    settings = []
    accumulation = arguments.get("trainer.accumulate_grad_batches")
    if accumulation and accumulation.number is not None:
        settings.append(Setting("training.accumulation", accumulation.number, accumulation.source))
    names = _batch_names(arguments)
    if len(names) == 1 and by_hydra:
        argument = arguments[names[0]]
        why = f"{argument.source}: of a GPU, or of all, as lightning-hydra-template divides it?"
        return Recipe.of(*settings).asking(Question("training.batch_size", why, argument.number))
    if len(names) == 1:
        argument = arguments[names[0]]
        source = f"{argument.source}, of one process, as {_NAME} counts"
        return Recipe.of(Setting("training.batch_size", argument.number, source), *settings)
    which = ": which of them?" if names else ""
    found = ", ".join(arguments[name].source for name in names) or "no data module states its batch size"
    return Recipe.of(*settings).asking(Question("training.batch_size", f"{found}{which}"))


def _length(arguments: Arguments) -> Iterator[Setting]:
    steps, epochs = find_number(arguments, "trainer.max_steps"), find_number(arguments, "trainer.max_epochs")
    has_steps, has_epochs = steps is not None and steps[0] > 0, epochs is not None and epochs[0] > 0
    if steps and has_steps:
        also = (
            f", or {epochs[0]} epochs ({epochs[1]}) if those are fewer steps" if epochs and has_epochs else ""
        )
        yield Setting("training.max_steps", steps[0], f"{steps[1]}{also}")
    elif epochs and has_epochs:
        yield Setting("training.epochs", *epochs)
    elif epochs is None:
        yield Setting(
            "training.epochs", 1000, f"{_NAME}'s default: neither max_epochs nor max_steps is given"
        )


def _strategy(arguments: Arguments) -> Iterator[Setting]:
    names = ("trainer.strategy", "trainer.strategy.class_path", "trainer.strategy._target_")
    argument = next((arguments[name] for name in names if name in arguments), None)
    if argument is None:
        return
    text = str(argument.value).rpartition(".")[2].lower()
    staged = find_number(arguments, "trainer.strategy.init_args.stage", "trainer.strategy.stage")
    if "fsdp" in text:
        yield Setting("training.zero_stage", 3, argument.source)
    elif "deepspeed" in text:
        stage = text.partition("stage_")[2][:1]
        number = int(stage) if stage.isdecimal() else int(staged[0]) if staged else 2
        yield Setting("training.zero_stage", number, argument.source)
        if text.endswith("offload"):
            yield Setting("training.offload", ("optimizer",), argument.source)


def _evaluations(arguments: Arguments) -> Iterator[Setting]:
    interval = find_number(arguments, "trainer.val_check_interval")
    is_off = find_number(arguments, "trainer.limit_val_batches")
    if is_off and not is_off[0]:
        yield Setting("evaluation.every_steps", 0, is_off[1])
    elif (
        interval and not isinstance(arguments["trainer.val_check_interval"].value, float) and interval[0] > 1
    ):
        accumulation = find_number(arguments, "trainer.accumulate_grad_batches") or (1, "")
        steps = max(int(interval[0] // accumulation[0]), 1)
        by = f" micro-batches / {accumulation[0]}" if accumulation[0] > 1 else ""
        yield Setting("evaluation.every_steps", steps, f"{interval[1]}{by}")
    elif interval and interval[0] < 1:
        yield Setting("evaluation.every_epochs", *interval)
    else:
        absent = f"{_NAME}'s default of check_val_every_n_epoch"
        every = find_number(arguments, "trainer.check_val_every_n_epoch") or (1, absent)
        yield Setting("evaluation.every_epochs", *every)


def _saves(arguments: Arguments) -> Iterator[Setting]:
    """What a ModelCheckpoint says, as an entry of the list `trainer.callbacks`, or as hydra's `callbacks.model_checkpoint`."""
    enabled = arguments.get("trainer.enable_checkpointing")
    if enabled and enabled.is_off:
        yield Setting("checkpoint.every_steps", 0, enabled.source)
        return
    values, source = _checkpoint_callback(arguments)
    steps, epochs = values.get("every_n_train_steps"), values.get("every_n_epochs")
    if isinstance(steps, int) and steps > 0:
        yield Setting("checkpoint.every_steps", steps, f"{source}: every_n_train_steps")
    else:
        is_stated = isinstance(epochs, int) and epochs > 0
        absent = f"{_NAME}'s default: a checkpoint per epoch"
        yield Setting(
            "checkpoint.every_epochs",
            epochs if is_stated else 1,
            f"{source}: every_n_epochs" if is_stated else absent,
        )
    folder = values.get("dirpath") or getattr(arguments.get("trainer.default_root_dir"), "value", None)
    if isinstance(folder, str) and "${" not in folder:
        yield Setting("checkpoint.folder", folder, source or arguments["trainer.default_root_dir"].source)


def _checkpoint_callback(arguments: Arguments) -> tuple[Mapping[str, Any], str]:
    listed = arguments.get("trainer.callbacks")
    for entry in listed.value if listed and isinstance(listed.value, list) else ():
        if isinstance(entry, Mapping) and str(entry.get("class_path", "")).endswith("ModelCheckpoint"):
            inner = entry.get("init_args")
            return (inner if isinstance(inner, Mapping) else {}), listed.source if listed else ""
    prefix = "callbacks.model_checkpoint."
    values = {name.removeprefix(prefix): a.value for name, a in arguments.items() if name.startswith(prefix)}
    return values, "callbacks.model_checkpoint" if values else ""


def _remarks(arguments: Arguments) -> Iterator[str]:
    accumulation = arguments.get("trainer.accumulate_grad_batches")
    if accumulation and accumulation.number is None:
        yield f"{accumulation.source}: the accumulation is a schedule, which no key has"
    for name in ("trainer.fast_dev_run", "trainer.overfit_batches", "trainer.limit_train_batches"):
        if name in arguments and not arguments[name].is_off and arguments[name].value not in (1.0, "1.0"):
            yield f"{arguments[name].source}: an epoch is shorter than the data"
    listed = arguments.get("trainer.callbacks")
    if (listed and "EarlyStopping" in str(listed.value)) or any(
        n.startswith("callbacks.early_stopping.") for n in arguments
    ):
        yield f"{listed.source if listed else 'callbacks.early_stopping'}: EarlyStopping may end the run before its length"
