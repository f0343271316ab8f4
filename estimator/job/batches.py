"""How samples become steps: the batches of the GPUs, the length of the run, and the framework that counts."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from ...cluster_profiles.files.toml_file import Section
from ...cluster_profiles.profile import Count
from .fields import MOST_STEPS, Exact, flag, switch
from .framework import STEP_RULES, Framework


def _none_if_unset(steps: object) -> object:
    """Read -1, the default of Hugging Face's and Lightning's `max_steps`, as no limit."""
    return None if str(steps).strip() == "-1" else steps


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
    batch_tokens: Count | None = Field(
        None,
        gt=0,
        le=10**9,
        description="Micro-batch of a GPU as a budget of tokens, instead of batch_size (fairseq's `--max-tokens`); steps are an "
        "estimate then.",
    )
    global_batch_tokens: Count | None = Field(
        None, gt=0, le=10**15, description="Tokens per step of all GPUs, instead of global_batch."
    )
    epochs: Exact = flag(
        Fraction(1), "--epochs", "E", "Passes over the data; may be fractional.", gt=0, le=10**6
    )
    max_steps: Annotated[Count | None, BeforeValidator(_none_if_unset)] = flag(
        None,
        "--max-steps",
        "N",
        "Steps of the run, as in the framework's own setting (train_iters); the data may be left out then.",
        gt=0,
        le=MOST_STEPS,
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

    @model_validator(mode="before")
    @classmethod
    def _budget_stands_for_batch_size(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("batch_tokens") is None:
            return values
        if values.get("batch_size") is not None:
            raise ValueError("batch_size and batch_tokens are both given; give one of them")
        return {**values, "batch_size": 1}  # until the tokens of a sample are known

    @model_validator(mode="after")
    def _budgets_stand_alone(self) -> Self:
        if not self.in_tokens:
            return self
        if self.global_batch is not None:
            raise ValueError(
                f"global_batch counts samples, and {self.in_tokens} counts tokens: give one of them"
            )
        if self.generations > 1:
            raise ValueError(
                f"generations need batches in samples: give batch_size and global_batch, not {self.in_tokens}"
            )
        return self

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
        of = f"batch_size {self.batch_size:,} x {self.data_parallel:,} data parallel"
        samples = self.batch_size * self.data_parallel
        accumulation = _divide("global_batch", self.global_batch, samples, of)
        object.__setattr__(self, "accumulation", accumulation)  # as a frozen dataclass does it
        return self

    @model_validator(mode="after")
    def _generations_divide(self) -> Self:
        if STEP_RULES[self.framework].is_trainer and self.step_samples % self.generations:
            raise ValueError(
                f"a global batch of {self.step_samples:,} completions is not a multiple of generations {self.generations:,}, "
                "which TRL refuses: give a divisor of it"
            )
        return self

    @property
    def in_tokens(self) -> str | None:
        """Return the key of a batch that is stated in tokens; None if all are in samples."""
        keys = ("batch_tokens", "global_batch_tokens")
        return next((key for key in keys if getattr(self, key) is not None), None)

    def stated_values(self) -> dict[str, Any]:
        """Return the values that the job states, by key: neither defaults nor what follows from others."""
        follows = {"batch_size"} if self.batch_tokens else set()
        return {key: getattr(self, key) for key in self.model_fields_set - follows}

    def in_samples(self, tokens_per_sample: int | None) -> Self:
        """Return the same batches with those that are stated in tokens also in samples.

        A budget of one GPU holds floor(budget / tokens per sample) samples.  Raises ValueError if a global batch is not a
        whole number of micro-batches.
        """
        if not self.in_tokens:
            return self
        if tokens_per_sample is None:
            raise ValueError(
                "a batch in tokens needs the tokens of a sample: give data.mean_tokens or seq_len"
            )
        batches = self.model_copy()  # its keys stay unstated, so that other GPUs imply other values
        if self.batch_tokens and self.batch_tokens < tokens_per_sample:
            raise ValueError(
                f"batch_tokens {self.batch_tokens:,} hold no sample of {tokens_per_sample:,} tokens: give at least that"
            )
        if self.batch_tokens:
            object.__setattr__(batches, "batch_size", self.batch_tokens // tokens_per_sample)
        if self.global_batch_tokens is None:
            return batches
        if "accumulation" not in self.model_fields_set:
            tokens = self.data_parallel * (self.batch_tokens or self.batch_size * tokens_per_sample)
            accumulation = _divide(
                "global_batch_tokens", self.global_batch_tokens, tokens, "tokens of a micro-batch on all GPUs"
            )
            object.__setattr__(batches, "accumulation", accumulation)
            object.__setattr__(batches, "global_batch", batches.step_samples)
        else:
            object.__setattr__(batches, "global_batch", self.global_batch_tokens // tokens_per_sample)
        return batches

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


def _divide(key: str, whole: int, part: int, of: str) -> int:
    """How often `part` fits into `whole`.  Raises ValueError with the nearest multiples if that is not a whole number."""
    times, rest = divmod(whole, part)
    if rest:
        nearest = f"{times * part:,} or {(times + 1) * part:,}" if times else f"{part:,}"
        raise ValueError(f"{key} {whole:,} is not a multiple of {of} = {part:,}: give {nearest}")
    return times
