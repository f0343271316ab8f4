"""The section of the job file on training: beside the batches, the precision and the states that GPUs hold."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count
from ...cluster_profiles.units import parse_count
from .batches import Batches
from .fields import flag, switch
from .framework import STEP_RULES, Dealing
from .optimizer import Optimizer

BatchRampup = tuple[int, int, int]  # start, increment, samples
_RAMPUP_PARTS = 3
_MOST_RAMPUP_LEVELS = 10_000


class Offload(StrEnum):
    """What lives in host memory instead of the GPU's."""

    OPTIMIZER = "optimizer"
    PARAMETERS = "parameters"
    ACTIVATIONS = "activations"

    @classmethod
    def _missing_(cls, value: object) -> "Offload | None":
        """Read `offload_param` of DeepSpeed and `weights` as `parameters`, and other words of trainers likewise."""
        names = {
            cls.OPTIMIZER: ("optimizer", "optimizer_state"),
            cls.PARAMETERS: ("param", "parameter", "weight"),
            cls.ACTIVATIONS: ("activation", "checkpoint"),
        }
        name = str(value).lower().removeprefix("offload_").removesuffix("s")
        return next((offload for offload, words in names.items() if name in words), None)


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _rampup(value: object) -> BatchRampup | None:
    """Read three counts from a list, or from text as on Megatron's command line."""
    parts = value.replace(",", " ").strip(" []").split() if isinstance(value, str) else value
    if parts is None:
        return None
    if not isinstance(parts, list | tuple) or len(parts) != _RAMPUP_PARTS:
        raise ValueError("must be start, increment and samples, such as [16, 8, 300_000]")
    start, increment, samples = map(parse_count, parts)
    return start, increment, samples


def _recompute(value: object) -> object:
    if isinstance(value, bool) or value == "selective":
        return value
    raise ValueError('must be true, false or "selective"')


class Training(Batches):
    """Batches, epochs, framework, parallelism, precision and states."""

    batch_rampup: Annotated[BatchRampup | None, BeforeValidator(_rampup)] = Field(
        None,
        description="Ramp-up of the global batch, `[start, increment, samples]` as in Megatron's `--rampup-batch-size`.",
    )
    precision: Precision = flag(Precision.AUTO, "--precision", "P", "Number format of training.")
    zero_stage: Count | None = Field(
        None,
        ge=0,
        le=3,
        description="ZeRO stage, the states that data parallelism shards: 0 none, 1 optimizer states, 2 also gradients, 3 also "
        "weights (as FSDP). It decides the memory, and what data parallelism exchanges per micro-batch.",
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
        description=f"Optimizer: {', '.join(Optimizer)}; also by the names of Hugging Face's `optim`. It matters for memory "
        "alone.",
    )
    master_weights: StrictBool = Field(
        default=True,
        description="16-bit training keeps fp32 weights and optimizer states beside the 16-bit weights; false: all are 16 bit "
        "(`pure_bf16`).",
    )
    offload: Annotated[tuple[Offload, ...], BeforeValidator(_as_list)] = Field(
        (),
        description="Kept in host memory: `optimizer`, `parameters` (ZeRO-Offload), `activations` (those stored for the backward "
        "pass, as of unsloth and torchtune), in a list.",
    )
    optimizer_in_backward: StrictBool = Field(
        default=False,
        description="Each layer is updated as soon as its gradient is there, so one gradient is kept.",
    )
    recompute: Annotated[bool | Literal["selective"], BeforeValidator(_recompute)] = switch(
        "--recompute",
        "Activations are recomputed, which takes a third more FLOPs; `selective` in the file: only those of attention.",
    )

    @model_validator(mode="after")
    def _rampup_reaches_the_batch(self) -> Self:
        if self.batch_rampup is None:
            return self
        if self.in_tokens:
            raise ValueError(
                f"batch_rampup counts samples, and {self.in_tokens} counts tokens: give one of them"
            )
        if STEP_RULES[self.framework].dealing is not Dealing.STREAM:
            having = " or ".join(f for f, rule in STEP_RULES.items() if rule.dealing is Dealing.STREAM)
            raise ValueError(f"batch_rampup belongs to framework {having}; {self.framework} has none")
        if fault := _rampup_fault(self.batch_rampup, self.step_samples, self.batch_size * self.data_parallel):
            raise ValueError(fault)
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

    @property
    def shards(self) -> int:
        """Return the GPUs that hold the same weights, over which ZeRO shards: data x context x sequence parallel."""
        return self.gpus // (self.tensor_parallel * self.pipeline_parallel)


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
