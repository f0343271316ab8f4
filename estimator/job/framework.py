"""The frameworks that count steps: one record for each holds every fact on its rule; and the starters of their processes.

The formulas use N samples per epoch, L batches that each replica loads in an epoch, G gradient accumulation and E epochs
(a fraction).  Their sources, with test vectors: docs/explanation/steps.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from fractions import Fraction

from ...cluster_profiles.units import ceil_div


class Framework(StrEnum):
    """The framework whose rule counts the steps."""

    HF = "hf"
    HF_4_51 = "hf-4.51"
    LIGHTNING = "lightning"
    ACCELERATE = "accelerate"
    DEEPSPEED = "deepspeed"
    TORCH = "torch"
    FLOOR = "floor"
    MEGATRON = "megatron"

    @classmethod
    def _missing_(cls, value: object) -> "Framework | None":
        """Read a library that is built on one of them, or another name of it."""
        name = str(value).lower().replace("_", "-").replace(" ", "-")
        return next((f for f, names in OTHER_NAMES.items() if name in {f.value, *names.split()}), None)


# Libraries that count steps as a framework does, because they are built on it or have the same loop.
OTHER_NAMES = {
    # their trainers are subclasses of transformers.Trainer
    Framework.HF: "huggingface hugging-face hf-trainer transformers trainer trl sfttrainer sft-trainer peft axolotl unsloth "
    "llama-factory llamafactory ms-swift swift fastchat sentence-transformers alignment-handbook open-r1",
    # their releases pin transformers 4.31 to 4.37
    Framework.HF_4_51: "llava moe-llava",
    Framework.LIGHTNING: "pytorch-lightning torch-lightning lightning-ai pl ptl",
    # scripts with Accelerate's loop: ceil(batches / accumulation) steps per epoch
    Framework.ACCELERATE: "huggingface-accelerate hf-accelerate diffusers kohya-ss sd-scripts",
    Framework.DEEPSPEED: "deepspeed-chat deepspeed-engine",
    # DistributedSampler and DataLoader in a loop of one's own; Composer deals samples so, and cuts its batch into micro-batches;
    # fairseq deals batches, of which each GPU has as many, and its epochs end with an update
    Framework.TORCH: "pytorch ddp fsdp fsdp2 torchrun pytorch-ddp pytorch-fsdp composer mosaicml llm-foundry fairseq",
    # one stream of tokens, which begins again until the given number of steps
    Framework.MEGATRON: "megatron-lm megatron-core megatron-bridge megatron-deepspeed mcore nemo nemo-framework gpt-neox neox "
    "nanotron torchtitan nanogpt olmo olmo-core",
}


class Bootstrap(StrEnum):
    """The starter of the processes on one node."""

    TORCHRUN = "torchrun"  # one task per node, in which torchrun starts one process per GPU
    PER_GPU = "per-gpu"  # one task per GPU, started by Slurm
    SINGLE = "single"  # one task per node, which runs the command unchanged


class Dealing(Enum):
    """How the samples of an epoch reach the replicas."""

    BATCHES = "Accelerate deals whole micro-batches, and fills up the last round with earlier samples"
    SAMPLES = "torch's sampler deals samples, and first pads them to a multiple of the replicas"
    STREAM = "all epochs are one stream, cut into global batches; the rest is always dropped"


@dataclass(frozen=True)
class EpochSizes:
    """The sizes that a total follows from; `step_samples` is the global batch."""

    samples: int
    batches: int
    step_samples: int
    accumulation: int
    epochs: Fraction


@dataclass(frozen=True)
class Total:
    """How the steps of a run follow from its sizes: in words, as the text of the formula, and as the formula.

    `formula` has the fields of EpochSizes as placeholders; `{epochs}` is replaced by words such as "2 epochs".
    `across_epochs`: a step may hold samples of two epochs.
    """

    rule: str
    formula: str
    steps: Callable[[EpochSizes], int]
    across_epochs: bool = False


def _ceil(number: Fraction) -> int:
    return ceil_div(number.numerator, number.denominator)


_EPOCHS_END_WITH_A_STEP = Total(
    "each epoch ends with a step, full or not",
    "ceil({epochs} x ceil({batches:,} / {accumulation:,}))",
    lambda sizes: _ceil(sizes.epochs * ceil_div(sizes.batches, sizes.accumulation)),
)
_ACCUMULATION_ROUNDED_DOWN = Total(
    "accumulation is rounded down, so training may end early",
    "ceil({epochs} x max(floor({batches:,} / {accumulation:,}), 1))",
    lambda sizes: _ceil(sizes.epochs * max(sizes.batches // sizes.accumulation, 1)),
)
_ACROSS_EPOCHS = Total(
    "accumulation goes on across epochs, and the rest at the end is not a step",
    "floor({epochs} x {batches:,} / {accumulation:,})",
    lambda sizes: int(sizes.epochs * sizes.batches) // sizes.accumulation,
    across_epochs=True,
)
_ROUNDED_DOWN = Total(
    "rounded down",
    "floor({samples:,} samples x {epochs} / {step_samples:,})",
    lambda sizes: int(sizes.samples * sizes.epochs) // sizes.step_samples,
)


@dataclass(frozen=True)
class StepRule:
    """All facts on how one framework counts steps.

    `whole_epochs`: E must be whole.  `sampler_drop_last`: its distributed sampler has that setting.
    `max_steps_wins`: its loop begins the data again until `max_steps`, also where epochs are stated; the others stop at
    the first of both.  `is_trainer`: it is Hugging Face's Trainer, so the script takes Trainer's flags.
    `sequence_parallel`: it can train with sequence parallelism.  `deals_to_every_gpu`: the GPUs of one sequence-parallel
    group load batches of their own, and the group takes them in turn.  `checks_global_batch`: it stops with an error
    where the stated global batch is not the product.
    """

    name: str
    dealing: Dealing
    total: Total = _EPOCHS_END_WITH_A_STEP
    whole_epochs: bool = False
    sampler_drop_last: bool = False
    max_steps_wins: bool = False
    is_trainer: bool = False
    sequence_parallel: bool = True
    deals_to_every_gpu: bool = False
    checks_global_batch: bool = False

    @property
    def always_drops_last(self) -> bool:
        """Return whether samples that do not fill a global batch are dropped without a setting."""
        return self.dealing is Dealing.STREAM


STEP_RULES = {
    Framework.HF: StepRule(
        "Hugging Face Trainer >= 4.52",
        Dealing.BATCHES,
        max_steps_wins=True,
        is_trainer=True,
        deals_to_every_gpu=True,
    ),
    Framework.HF_4_51: StepRule(
        "Hugging Face Trainer <= 4.51",
        Dealing.BATCHES,
        _ACCUMULATION_ROUNDED_DOWN,
        max_steps_wins=True,
        is_trainer=True,
        sequence_parallel=False,
    ),
    Framework.LIGHTNING: StepRule("Lightning", Dealing.SAMPLES, whole_epochs=True),
    Framework.ACCELERATE: StepRule("Accelerate's accumulate()", Dealing.BATCHES),
    Framework.DEEPSPEED: StepRule(
        "DeepSpeed engine",
        Dealing.SAMPLES,
        _ACROSS_EPOCHS,
        checks_global_batch=True,
    ),
    Framework.TORCH: StepRule(
        "torch DistributedSampler and DataLoader", Dealing.SAMPLES, sampler_drop_last=True
    ),
    Framework.FLOOR: StepRule("data / (batch x GPUs)", Dealing.STREAM, _ROUNDED_DOWN, max_steps_wins=True),
    Framework.MEGATRON: StepRule(
        "Megatron and NeMo",
        Dealing.STREAM,
        replace(_ROUNDED_DOWN, rule="one stream of samples, cut into global batches"),
        max_steps_wins=True,
    ),
}
TRAINERS = tuple(framework for framework, rule in STEP_RULES.items() if rule.is_trainer)
