"""How samples become steps: the batches of the GPUs, the length of the run, and the framework that counts."""

from fractions import Fraction
from typing import Any, Self

from pydantic import Field, StrictBool, model_validator

from ...cluster_profiles.profile import Count
from ...cluster_profiles.toml_file import Section
from .fields import MOST_STEPS, Exact, flag, switch
from .framework import STEP_RULES, Dealing, Framework

BatchRampup = tuple[int, int, int]  # start, increment, samples
_MOST_RAMPUP_LEVELS = 10_000


class Batches(Section):
    """What the number of steps follows from; `training` has further keys."""

    batch_size: Count = flag(
        ..., "--batch-size", "N", "Micro-batch: samples per GPU and forward pass.", gt=0, le=10**7
    )
    gpus: Count = flag(..., "--gpus", "N", "GPUs in total.", gt=0, le=10**6)
    accumulation: Count = flag(
        1,
        "--accumulation",
        "N",
        "Gradient accumulation: micro-batches per step. It follows from a global batch.",
        gt=0,
        le=10**6,
    )
    global_batch: Count | None = flag(
        None,
        "--global-batch",
        "N",
        "Samples per step of all GPUs; beside accumulation it is compared with the product.",
        gt=0,
        le=10**12,
    )
    epochs: Exact = flag(
        Fraction(1), "--epochs", "E", "Passes over the data; may be fractional.", gt=0, le=10**6
    )
    max_steps: Count | None = flag(
        None,
        "--max-steps",
        "N",
        "Steps of the run, as in the framework's own setting (train_iters); the data may be left out then.",
        gt=0,
        le=MOST_STEPS,
    )
    batch_rampup: tuple[Count, Count, Count] | None = Field(
        None,
        description="Ramp-up of the global batch, `[start, increment, samples]` as in Megatron's `--rampup-batch-size`.",
    )
    generations: Count = Field(
        1,
        gt=0,
        le=10**4,
        description="Completions per prompt (GRPO, TRL's `num_generations`): samples are prompts, batches hold completions.",
    )
    framework: Framework = flag(Framework.HF, "--framework", "NAME", "Framework whose rule counts the steps.")
    drop_last: StrictBool = switch("--drop-last", "The data loader drops its last partial batch.")
    sampler_drop_last: StrictBool = switch(
        "--sampler-drop-last",
        "The distributed sampler drops the samples that do not divide evenly over the GPUs.",
    )
    tensor_parallel: Count = flag(1, "--tensor-parallel", "N", "GPUs that share each layer.", gt=0, le=10**5)
    pipeline_parallel: Count = flag(
        1, "--pipeline-parallel", "N", "GPUs that split the layers among them.", gt=0, le=10**5
    )
    context_parallel: Count = flag(
        1, "--context-parallel", "N", "GPUs that share each sequence.", gt=0, le=10**5
    )
    sequence_parallel: Count = flag(
        1, "--sequence-parallel", "N", "GPUs that share each sequence by DeepSpeed Ulysses.", gt=0, le=10**5
    )
    trainer_steps: Count | None = flag(
        None,
        "--trainer-steps",
        "N",
        "Steps that your trainer reports; they are compared with the count.",
        gt=0,
        le=MOST_STEPS,
    )

    @model_validator(mode="after")
    def _flags_agree(self) -> Self:
        framework, rule = self.framework, STEP_RULES[self.framework]
        if self.drop_last and rule.always_drops_last:
            raise ValueError(f"drop_last contradicts framework {framework}, which always drops the rest")
        if self.sampler_drop_last and not rule.sampler_drop_last:
            having = " or ".join(f for f, other in STEP_RULES.items() if other.sampler_drop_last)
            raise ValueError(
                f"sampler_drop_last belongs to framework {having}; {framework} has no such setting"
            )
        if rule.whole_epochs and self.epochs.denominator != 1:
            up = -(-self.epochs.numerator // self.epochs.denominator)
            raise ValueError(
                f"epochs {float(self.epochs):g} is fractional, and {rule.name} takes whole epochs: give {up}"
            )
        if self.sequence_parallel > 1 and not rule.sequence_parallel:
            raise ValueError(f"sequence_parallel needs framework {Framework.HF}: {rule.name} has none")
        if self.gpus % self.model_parallel:
            raise ValueError(
                f"{self.gpus} GPUs cannot be split: tensor x pipeline x context x sequence parallel take "
                f"{self.model_parallel} each; give a multiple of {self.model_parallel}"
            )
        return self

    @model_validator(mode="after")
    def _accumulation_follows(self) -> Self:
        """Fill in the accumulation that a global batch implies; it is not stated, so other GPUs imply another one."""
        if self.global_batch is None or "accumulation" in self.model_fields_set:
            return self
        samples = self.batch_size * self.data_parallel
        if self.global_batch % samples:
            below = self.global_batch // samples * samples
            nearest = f"{below:,} or {below + samples:,}" if below else f"{samples:,}"
            raise ValueError(
                f"global_batch {self.global_batch:,} is not a multiple of batch_size {self.batch_size:,} x "
                f"{self.data_parallel:,} data parallel = {samples:,}: give {nearest}"
            )
        accumulation = self.global_batch // samples
        object.__setattr__(self, "accumulation", accumulation)  # as a frozen dataclass does it
        return self

    @model_validator(mode="after")
    def _rampup_reaches_the_batch(self) -> Self:
        if self.batch_rampup is None:
            return self
        if STEP_RULES[self.framework].dealing is not Dealing.STREAM:
            having = " or ".join(f for f, rule in STEP_RULES.items() if rule.dealing is Dealing.STREAM)
            raise ValueError(f"batch_rampup belongs to framework {having}; {self.framework} has none")
        if fault := _rampup_fault(self.batch_rampup, self.step_samples, self.batch_size * self.data_parallel):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _generations_divide(self) -> Self:
        if STEP_RULES[self.framework].is_trainer and self.step_samples % self.generations:
            raise ValueError(
                f"a global batch of {self.step_samples:,} completions is not a multiple of generations {self.generations:,}, "
                "which TRL refuses: give a divisor of it"
            )
        return self

    def stated_values(self) -> dict[str, Any]:
        """Return the values that the job states, by key: neither defaults nor what follows from others."""
        return {key: getattr(self, key) for key in self.model_fields_set}

    @property
    def repeats_data(self) -> bool:
        """Return whether the data begin again until `max_steps`: it is the length of the run, whatever the data hold.

        Where the framework stops at the first of `max_steps` and the epochs, that is so unless epochs are stated.
        """
        wins = STEP_RULES[self.framework].max_steps_wins or "epochs" not in self.model_fields_set
        return self.max_steps is not None and wins

    @property
    def model_parallel(self) -> int:
        """Return the GPUs per replica: tensor x pipeline x context x sequence parallel."""
        return self.tensor_parallel * self.pipeline_parallel * self.context_parallel * self.sequence_parallel

    @property
    def data_parallel(self) -> int:
        """Return the replicas: GPUs / GPUs per replica."""
        return self.gpus // self.model_parallel

    @property
    def step_samples(self) -> int:
        """Return the global batch in samples: micro-batch x data parallel x gradient accumulation."""
        return self.batch_size * self.data_parallel * self.accumulation


def _rampup_fault(rampup: BatchRampup, global_batch: int, smallest_batch: int) -> str | None:
    """Why a ramp-up does not lead to the global batch in whole micro-batches, `smallest_batch` samples of all replicas."""
    start, increment, _ = rampup
    if min(rampup) < 1:
        return f"batch_rampup {list(rampup)} must hold numbers above 0: start, increment and samples"
    if start % smallest_batch or increment % smallest_batch:
        return (
            f"batch_rampup starts at {start:,} and grows by {increment:,}: both must be multiples of batch_size x data "
            f"parallel = {smallest_batch:,}"
        )
    if start >= global_batch:
        return f"batch_rampup starts at {start:,}, which is not below the global batch of {global_batch:,}"
    if (global_batch - start) % increment:
        return (
            f"batch_rampup from {start:,} to the global batch of {global_batch:,} is not a whole number of increments of "
            f"{increment:,}"
        )
    if (global_batch - start) // increment > _MOST_RAMPUP_LEVELS:
        return f"batch_rampup has more than {_MOST_RAMPUP_LEVELS:,} increments: give a larger one than {increment:,}"
    return None
