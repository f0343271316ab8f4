"""The part of a job file that says how it is trained: batches, frameworks' ways of counting, parallelism."""

from enum import StrEnum
from fractions import Fraction
from typing import Self

from pydantic import Field, StrictBool, model_validator

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count
from ...cluster_profiles.toml_file import Section
from .fields import MOST_STEPS, Exact, flag, switch


class Framework(StrEnum):
    """Whose way of counting steps."""

    HF = "hf"
    HF_4_51 = "hf-4.51"
    LIGHTNING = "lightning"
    ACCELERATE = "accelerate"
    DEEPSPEED = "deepspeed"
    TORCH = "torch"
    FLOOR = "floor"
    MEGATRON = "megatron"


class Optimizer(StrEnum):
    """What is kept of each parameter beside it; `sgd` has momentum."""

    ADAM = "adam"
    ADAM_8BIT = "adam-8bit"
    SGD = "sgd"
    ADAFACTOR = "adafactor"

    @classmethod
    def _missing_(cls, value: object) -> "Optimizer | None":
        """Decoupled weight decay keeps nothing of its own: `adamw` is `adam`."""
        name = str(value).lower().replace("_", "-")
        return {"adamw": cls.ADAM, "adamw-8bit": cls.ADAM_8BIT}.get(name)


class Training(Section):
    """How it is trained."""

    batch_size: Count = flag(
        ..., "--batch-size", "N", "Micro-batch: samples per GPU and pass.", gt=0, le=10**7
    )
    gpus: Count = flag(..., "--gpus", "N", "GPUs in all.", gt=0, le=10**6)
    accumulation: Count = flag(
        1, "--accumulation", "N", "Gradient accumulation: micro-batches in one step.", gt=0, le=10**6
    )
    epochs: Exact = flag(
        Fraction(1), "--epochs", "E", "Passes over the data; may be fractional.", gt=0, le=10**6
    )
    max_steps: Count | None = Field(
        None,
        gt=0,
        le=MOST_STEPS,
        description="Stop after so many steps, as the framework's own setting does.",
    )
    framework: Framework = flag(Framework.HF, "--framework", "NAME", "Whose way of counting steps.")
    precision: Precision = flag(Precision.AUTO, "--precision", "P", "Number format of training.")
    drop_last: StrictBool = switch("--drop-last", "The loader drops its last partial batch.")
    sampler_drop_last: StrictBool = switch(
        "--sampler-drop-last", "The distributed sampler drops samples that do not divide."
    )
    tensor_parallel: Count = flag(1, "--tensor-parallel", "N", "GPUs sharing each layer.", gt=0, le=10**5)
    pipeline_parallel: Count = flag(1, "--pipeline-parallel", "N", "GPUs sharing the layers.", gt=0, le=10**5)
    context_parallel: Count = flag(
        1, "--context-parallel", "N", "GPUs sharing each sequence.", gt=0, le=10**5
    )
    sequence_parallel: Count = flag(
        1, "--sequence-parallel", "N", "GPUs sharing each sequence, the Ulysses way.", gt=0, le=10**5
    )
    zero_stage: Count | None = Field(
        None,
        ge=0,
        le=3,
        description="What data parallelism shards: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too, as FSDP; for "
        "memory alone.",
    )
    optimizer: Optimizer = Field(Optimizer.ADAM, description="Optimizer, adamw is adam; for memory alone.")
    recompute: StrictBool = switch("--recompute", "Activations are recomputed: 8 instead of 6 FLOPs.")
    global_batch: Count | None = Field(
        None, gt=0, le=10**12, description="The global batch that the script or DeepSpeed states; checked."
    )
    trainer_steps: Count | None = flag(
        None, "--trainer-steps", "N", "Steps your trainer says it will run; checked.", gt=0, le=MOST_STEPS
    )

    @model_validator(mode="after")
    def _flags_agree(self) -> Self:
        framework = self.framework
        if self.drop_last and framework in (Framework.FLOOR, Framework.MEGATRON):
            raise ValueError(f"drop_last contradicts framework {framework}, which always drops the rest")
        if self.sampler_drop_last and framework is not Framework.TORCH:
            raise ValueError(f"sampler_drop_last belongs to framework torch; {framework} has no such setting")
        if framework is Framework.LIGHTNING and self.epochs.denominator != 1:
            up = -(-self.epochs.numerator // self.epochs.denominator)
            raise ValueError(
                f"epochs {float(self.epochs):g} is fractional, and Lightning takes whole epochs: say {up}"
            )
        if self.sequence_parallel > 1 and framework is Framework.HF_4_51:
            raise ValueError("sequence_parallel needs framework hf: Trainer <= 4.51 has none")
        if self.gpus % self.model_parallel:
            raise ValueError(
                f"{self.gpus} GPUs cannot be split: tensor x pipeline x context x sequence parallel take "
                f"{self.model_parallel} each; give a multiple of {self.model_parallel}"
            )
        return self

    @property
    def model_parallel(self) -> int:
        """GPUs that hold one replica together."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.sequence_parallel

    @property
    def data_parallel(self) -> int:
        """Replicas: GPUs / (tensor x pipeline x context x sequence parallel)."""
        return self.gpus // self.model_parallel

    @property
    def step_samples(self) -> int:
        """The global batch: micro-batch x data parallel x gradient accumulation."""
        return self.batch_size * self.data_parallel * self.accumulation
