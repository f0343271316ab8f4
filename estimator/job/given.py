"""The sections of the job file on speed: a rate that is known, and the pauses of training."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ...cluster_profiles.files.toml_file import Section
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count, Name, Number, Seconds
from .fields import (
    MOST_STEPS,
    FlopRate,
    Length,
    MicroBatchSeconds,
    SampleRate,
    Share,
    StepSeconds,
    StepsOrShare,
    TokenRate,
    flag,
)


class StatedThroughput(Section):
    """A known speed: one rate, and the shape in which it was measured.

    Keys of the shape that are left out are taken from the rest of the file.
    """

    samples_per_s: SampleRate | None = flag(
        None, "--samples-per-s", "RATE", "Throughput of all GPUs, samples/s.", gt=0, le=10**12
    )
    samples_per_s_per_gpu: SampleRate | None = flag(
        None, "--samples-per-s-per-gpu", "RATE", "Throughput of one GPU, samples/s.", gt=0, le=10**9
    )
    tokens_per_s: TokenRate | None = flag(
        None, "--tokens-per-s", "RATE", "Throughput of all GPUs, tokens/s; needs seq_len.", gt=0, le=10**15
    )
    tokens_per_s_per_gpu: TokenRate | None = flag(
        None,
        "--tokens-per-s-per-gpu",
        "RATE",
        "Throughput of one GPU, tokens/s; needs seq_len.",
        gt=0,
        le=10**12,
    )
    step_time: StepSeconds | None = flag(
        None,
        "--step-time",
        "SECONDS",
        "Time of one optimizer step: seconds, or as a progress bar prints it: 300ms, 3.7s/it, 0.27it/s.",
        gt=0,
        le=10**7,
    )
    micro_batch_time: MicroBatchSeconds | None = flag(
        None,
        "--micro-batch-time",
        "SECONDS",
        "Time of one micro-batch, where the progress bar counts these: a step takes accumulation times as long.",
        gt=0,
        le=10**7,
    )
    tflops_per_gpu: FlopRate | None = flag(
        None,
        "--tflops-per-gpu",
        "RATE",
        "Achieved TFLOP/s of one GPU, recomputation counted; needs parameters and seq_len.",
        gt=0,
        le=10**6,
    )
    mfu: Share | None = flag(
        None,
        "--mfu",
        "SHARE",
        "Model FLOPs utilisation, 0.56 or 56%, of the GPU's own peak (nanoGPT prints that of an A100), without recomputation; "
        "needs parameters, seq_len and the GPU type.",
        gt=0,
        le=1,
    )
    spread: Number | None = flag(
        None,
        "--throughput-spread",
        "SHARE",
        "Uncertainty of the rate, from its middle to P90: 0.05 is -5 % to +5 %.",
        gt=0,
        lt=1,
    )
    gpus: Count | None = flag(
        None,
        "--throughput-gpus",
        "N",
        "GPUs on which the rate was measured. Default: training.gpus.",
        gt=0,
        le=10**6,
    )
    nodes: Count | None = Field(None, gt=0, le=10**5, description="Nodes on which it was measured.")
    gpu: Name | None = Field(None, description="GPU type on which it was measured.")
    batch_size: Count | None = Field(
        None, gt=0, le=10**7, description="Micro-batch with which it was measured."
    )
    accumulation: Count | None = Field(
        None, gt=0, le=10**6, description="Accumulation with which it was measured."
    )
    model_parallel: Count | None = Field(
        None, gt=0, le=10**6, description="GPUs per replica when it was measured."
    )
    precision: Precision | None = Field(None, description="Precision in which it was measured.")
    seq_len: Length | None = Field(
        None, gt=0, le=10**8, description="Tokens per sample when it was measured, the mean."
    )
    includes: tuple[Literal["evaluation", "checkpoints"], ...] = Field(
        (),
        description='Pauses that the rate holds already, as the `train_samples_per_second` of a whole run does: `["evaluation", '
        '"checkpoints"]`. They are not added again.',
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        rates = [name for name in STATED_RATES if getattr(self, name) is not None]
        if len(rates) > 1:
            raise ValueError(f"{' and '.join(rates)} are both given; give one of them")
        for name, value in self:
            if not rates and value:
                raise ValueError(f"{name} belongs to a rate: give one of {', '.join(STATED_RATES)}")
        return self


STATED_RATES = (
    "samples_per_s",
    "samples_per_s_per_gpu",
    "tokens_per_s",
    "tokens_per_s_per_gpu",
    "step_time",
    "micro_batch_time",
    "tflops_per_gpu",
    "mfu",
)


class Pause(Section):
    """A pause of training that comes back every so many steps or epochs."""

    every_steps: StepsOrShare | None = Field(
        None,
        ge=0,
        le=MOST_STEPS,
        description="Steps from one to the next; below 1, a share of all steps, as in Trainer's `eval_steps = 0.1`; 0 means "
        "never. Default: not known.",
    )
    every_epochs: Number | None = Field(
        None,
        gt=0,
        le=10**6,
        description="Epochs from one to the next, instead of steps: 1 is at the end of each epoch.",
    )
    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds that training stops for one.")

    @model_validator(mode="after")
    def _one_interval(self) -> Self:
        if self.every_steps is not None and self.every_epochs is not None:
            raise ValueError("every_steps and every_epochs are both given; give one of them")
        return self

    @property
    def has_interval(self) -> bool:
        """Return whether it is stated how often the pause comes back, or that it never does."""
        return self.every_steps is not None or self.every_epochs is not None


class Evaluation(Pause):
    """How often the model is evaluated, and how long one evaluation takes."""

    samples: Count | None = Field(
        None,
        gt=0,
        le=10**15,
        description="Samples of one evaluation, as long as those of training, which give its time: each passes forward once. "
        "An evaluation that generates text takes longer: give `time_s`. Default: those of `data.validation_share`.",
    )

    @model_validator(mode="after")
    def _has_interval(self) -> Self:
        lengths = [name for name in ("time_s", "samples") if getattr(self, name) is not None]
        if len(lengths) > 1:
            raise ValueError("evaluation.time_s and samples are both given; give one of them")
        for name in lengths:
            if not self.has_interval:
                raise ValueError(
                    f"evaluation.{name} needs every_steps or every_epochs: give what lies between two evaluations"
                )
        return self


class CheckpointPlan(Pause):
    """How often a checkpoint is written, where, and how long training stops for one."""

    pattern: str | None = Field(
        None,
        min_length=1,
        description="Regular expression for checkpoints whose names are not recognised: it matches the whole path in the folder, and its one group is the number. `()` stands for the number of a file that each save overwrites. Default: the names of frameworks.",
    )
    folder: Name | None = Field(
        None,
        description="Folder of the checkpoints, for writing and for restarts: the value of `{output}`. Each run of a sweep has a folder of its own in it. Default: `output/` in the run's folder.",
    )

    @field_validator("pattern")
    @classmethod
    def _has_one_group(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "()").groups
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if groups != 1:
            raise ValueError(
                f"has {groups} groups: put one ( ) around the number, as in 'gen-([0-9]+)\\.bin', and write (?: ) for others"
            )
        return pattern


class Startup(Section):
    """The time from the start of the job to its first step."""

    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds of startup.")
