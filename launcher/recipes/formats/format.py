"""A format: how the arguments of one framework's programs are recognised and read.  Here are all of them.

To add one, write its module, and add its record to `FORMATS`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..arguments import Arguments
from ..launch.claims import GpuClaim
from ..recipe import Recipe
from . import lightning
from .finetuning import axolotl, llama_factory, ms_swift, swift_megatron
from .hf_trainer import is_trainer, read_trainer
from .own_loop import is_own_loop
from .pretraining import litgpt, llm_foundry, megatron, nanogpt, torchtitan
from .surroundings import Surroundings
from .trainer_files import add_trainer_files


def _none_of(_: Arguments) -> Iterable[GpuClaim]:
    return ()


@dataclass(frozen=True)
class Format:
    """One format.

    `placeholders` stand in place of the values of these arguments in the command; `prefix` stands before the name of
    one that is added there because only the config file has it, and is None where nothing can be added.  `command`
    returns the launch line of a config by itself, None if that says too little.  `claim_gpus` returns what a config
    says of the machines.
    """

    name: str
    recognises: Callable[[str, Arguments], bool]
    read: Callable[[Arguments, Surroundings], Recipe]
    placeholders: Callable[[Arguments], Mapping[str, str]]
    prefix: str | None = None
    command: Callable[[str, Arguments], tuple[str, ...] | None] = lambda *_: None
    claim_gpus: Callable[[Arguments], Iterable[GpuClaim]] = _none_of


def find_format(program: str, arguments: Arguments) -> Format | None:
    """Return the format of a program's arguments; None if it is none of those that are known.

    >>> from clusterplan.launcher.recipes.arguments import parse_arguments
    >>> format = find_format("train.py", parse_arguments(["--num_train_epochs", "1"], "run.sh line 3"))
    >>> format.name if format else None
    "Hugging Face's Trainer"
    """
    return next((format_ for format_ in FORMATS if format_.recognises(program, arguments)), None)


def _read_hf(arguments: Arguments, around: Surroundings) -> Recipe:
    return add_trainer_files(read_trainer(arguments), arguments, around)


_TRAINER_PLACEHOLDERS = {
    "per_device_train_batch_size": "{batch_size}",
    "gradient_accumulation_steps": "{accumulation}",
    "save_steps": "{save_steps}",
    "output_dir": "{output}",
}


def _trainer_placeholders(_: Arguments) -> Mapping[str, str]:
    return _TRAINER_PLACEHOLDERS


FORMATS = (
    Format(
        "ms-swift on Megatron",
        swift_megatron.is_swift_megatron,
        swift_megatron.read_swift_megatron,
        swift_megatron.placeholders_of,
        "--",
        claim_gpus=ms_swift.claim_gpus,
    ),
    Format(
        "ms-swift",
        ms_swift.is_swift,
        ms_swift.read_swift_program,
        ms_swift.placeholders_of,
        "--",
        lambda config, _: ("swift", "sft", config),
        ms_swift.claim_gpus,
    ),
    Format(
        "LLaMA-Factory",
        llama_factory.is_llama_factory,
        llama_factory.read_llama_factory,
        llama_factory.placeholders_of,
        "",
        llama_factory.command_of,
    ),
    Format(
        "axolotl",
        axolotl.is_axolotl,
        axolotl.read_axolotl,
        axolotl.placeholders_of,
        "--",
        lambda config, _: ("axolotl", "train", config),
    ),
    Format(
        "torchtitan",
        torchtitan.is_torchtitan,
        torchtitan.read_torchtitan,
        torchtitan.placeholders_of,
        "--",
        lambda config, _: ("python", "-m", "torchtitan.train", f"--job.config_file={config}"),
    ),
    Format(
        "litgpt",
        litgpt.is_litgpt,
        litgpt.read_litgpt,
        litgpt.placeholders_of,
        "--",
        claim_gpus=litgpt.claim_gpus,
    ),
    Format(
        "llm-foundry",
        llm_foundry.is_llm_foundry,
        llm_foundry.read_llm_foundry,
        llm_foundry.placeholders_of,
        "",
    ),
    Format(
        "Lightning",
        lightning.is_lightning_by_hydra,
        lightning.read_lightning,
        lightning.placeholders_by_hydra,
        "",
        claim_gpus=lightning.claim_gpus,
    ),
    Format(
        "Lightning",
        lightning.is_lightning,
        lightning.read_lightning,
        lightning.placeholders_of,
        "--",
        claim_gpus=lightning.claim_gpus,
    ),
    Format("Megatron-LM", megatron.is_megatron, megatron.read_megatron, megatron.placeholders_of),
    Format(
        "nanoGPT",
        nanogpt.is_nanogpt,
        nanogpt.read_nanogpt,
        nanogpt.placeholders_of,
        "--",
        lambda config, _: ("python", "train.py", config),
    ),
    Format(
        "Hugging Face's Trainer",
        lambda program, arguments: is_trainer(arguments) and not is_own_loop(program, arguments),
        _read_hf,
        _trainer_placeholders,
    ),
)
