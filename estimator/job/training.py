"""The section of the job file on training: batches, the framework that counts steps, parallelism."""

from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count
from ...cluster_profiles.toml_file import Section
from .fields import MOST_STEPS, Exact, flag, switch
from .framework import STEP_RULES, Framework
from .optimizer import Optimizer


class Offload(StrEnum):
    """States that live in host memory instead of the GPU's."""

    OPTIMIZER = "optimizer"
    PARAMETERS = "parameters"

    @classmethod
    def _missing_(cls, value: object) -> "Offload | None":
        """Read `offload_param` of DeepSpeed and `weights` as `parameters`."""
        name = str(value).lower().removeprefix("offload_").removesuffix("s")
        return {"param": cls.PARAMETERS, "parameter": cls.PARAMETERS, "weight": cls.PARAMETERS}.get(
            name, cls.OPTIMIZER if name in ("optimizer", "optimizer_state") else None
        )


def _recompute(value: object) -> object:
    if isinstance(value, bool) or value == "selective":
        return value
    raise ValueError('must be true, false or "selective"')


class Training(Section):
    """Batches, epochs, framework, precision and parallelism."""

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
    generations: Count = Field(
        1,
        gt=0,
        le=10**4,
        description="Completions per prompt (GRPO, TRL's `num_generations`): samples are prompts, batches hold completions.",
    )
    framework: Framework = flag(Framework.HF, "--framework", "NAME", "Framework whose rule counts the steps.")
    precision: Precision = flag(Precision.AUTO, "--precision", "P", "Number format of training.")
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
    zero_stage: Count | None = Field(
        None,
        ge=0,
        le=3,
        description="ZeRO stage, the states that data parallelism shards: 0 none, 1 optimizer states, 2 also gradients, 3 also "
        "weights (as FSDP). It decides the memory, and which runs count as repeats of the job.",
    )
    expert_parallel: Count = Field(
        1,
        gt=0,
        le=10**5,
        description="GPUs that share the experts, among those that would hold copies; it needs parameters and "
        "active_parameters.",
    )
    optimizer: Optimizer = Field(
        Optimizer.ADAM,
        description="Optimizer, also by the names of Hugging Face's `optim`; adamw counts as adam. It matters for memory "
        "alone.",
    )
    master_weights: StrictBool = Field(
        default=True,
        description="16-bit training keeps fp32 weights and optimizer states beside the 16-bit weights; false: all are 16 bit "
        "(`pure_bf16`).",
    )
    offload: tuple[Offload, ...] = Field(
        (), description='States in host memory: `["optimizer"]`, `["parameters"]` or both (ZeRO-Offload).'
    )
    optimizer_in_backward: StrictBool = Field(
        default=False,
        description="Each layer is updated as soon as its gradient is there, so one gradient is kept.",
    )
    recompute: Annotated[bool | Literal["selective"], BeforeValidator(_recompute)] = switch(
        "--recompute",
        "Activations are recomputed, which takes a third more FLOPs; `selective` in the file: only those of attention.",
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
        object.__setattr__(
            self, "accumulation", self.global_batch // samples
        )  # as a frozen dataclass does it
        return self

    @model_validator(mode="after")
    def _states_have_a_place(self) -> Self:
        if self.shards % self.expert_parallel:
            nearest = next(n for n in range(self.expert_parallel, 0, -1) if self.shards % n == 0)
            raise ValueError(
                f"expert_parallel {self.expert_parallel} does not divide the {self.shards} GPUs that hold the same weights "
                f"(data x context x sequence parallel): give a divisor, such as {nearest}"
            )
        if Offload.PARAMETERS in self.offload and self.zero_stage not in (None, 3):
            raise ValueError(
                f"offload of parameters needs zero_stage 3, not {self.zero_stage}: set it, or leave parameters out"
            )
        if self.optimizer_in_backward and self.accumulation > 1:
            raise ValueError(
                f"optimizer_in_backward keeps no gradient to add to: set accumulation to 1, not {self.accumulation}"
            )
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
    def shards(self) -> int:
        """Return the GPUs that hold the same weights, over which ZeRO shards: data x context x sequence parallel."""
        return self.gpus // (self.tensor_parallel * self.pipeline_parallel)

    @property
    def step_samples(self) -> int:
        """Return the global batch in samples: micro-batch x data parallel x gradient accumulation."""
        return self.batch_size * self.data_parallel * self.accumulation
