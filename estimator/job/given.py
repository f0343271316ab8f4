"""The job file's sections of speed: a rate, and what stops training, as far as you know them."""

from typing import Self

from pydantic import Field, model_validator

from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count, Name, Number, Seconds
from ...cluster_profiles.toml_file import Section
from .fields import MOST_STEPS, StepSeconds, flag


class ThroughputGiven(Section):
    """What you already know about speed: one rate, and the shape it was measured on.

    What is left out of the shape is taken from the rest of the file.
    """

    samples_per_s: Number | None = flag(
        None, "--samples-per-s", "RATE", "Throughput of all GPUs, samples/s.", gt=0, le=10**12
    )
    samples_per_s_per_gpu: Number | None = flag(
        None, "--samples-per-s-per-gpu", "RATE", "Throughput of one GPU, samples/s.", gt=0, le=10**9
    )
    tokens_per_s: Number | None = flag(
        None, "--tokens-per-s", "RATE", "Throughput of all GPUs, tokens/s; needs seq_len.", gt=0, le=10**15
    )
    step_time: StepSeconds | None = flag(
        None,
        "--step-time",
        "SECONDS",
        "Time of one optimizer step, in seconds, or such as 300ms.",
        gt=0,
        le=10**7,
    )
    tflops_per_gpu: Number | None = flag(
        None, "--tflops-per-gpu", "RATE", "Achieved TFLOP/s of one GPU; needs parameters.", gt=0, le=10**6
    )
    spread: Number | None = flag(
        None,
        "--throughput-spread",
        "SHARE",
        "Half of the rate's P10-P90 width, relative: 0.05 is -5 % to +5 %.",
        gt=0,
        lt=1,
    )
    gpus: Count | None = flag(
        None, "--throughput-gpus", "N", "GPUs the rate was measured on; else training.gpus.", gt=0, le=10**6
    )
    nodes: Count | None = Field(None, gt=0, le=10**5, description="Nodes those GPUs were on.")
    gpu: Name | None = Field(None, description="Type of those GPUs.")
    batch_size: Count | None = Field(None, gt=0, le=10**7, description="Micro-batch it was measured with.")
    accumulation: Count | None = Field(None, gt=0, le=10**6, description="Accumulation it was measured with.")
    model_parallel: Count | None = Field(None, gt=0, le=10**6, description="GPUs that held one replica.")
    precision: Precision | None = Field(None, description="Precision it was measured in.")
    seq_len: Count | None = Field(
        None, gt=0, le=10**8, description="Tokens in a sample when it was measured."
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        given = [name for name in STATED_RATES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given; give one of them")
        for name, value in self:
            if not given and value is not None:
                raise ValueError(f"{name} belongs to a rate: give one of {', '.join(STATED_RATES)}")
        return self


STATED_RATES = ("samples_per_s", "samples_per_s_per_gpu", "tokens_per_s", "step_time", "tflops_per_gpu")


class Pause(Section):
    """Something that stops training every so many steps."""

    every_steps: Count | None = Field(
        None, ge=0, le=MOST_STEPS, description="Steps between two; 0 means never; left out means not known."
    )
    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds that training waits for one.")


class Evaluation(Pause):
    """When the model is evaluated, and how long that takes."""

    @model_validator(mode="after")
    def _time_of_something(self) -> Self:
        if self.time_s is not None and self.every_steps is None:
            raise ValueError("evaluation.time_s needs every_steps, to know how often")
        return self


class CheckpointPlan(Pause):
    """When checkpoints are written, and how long training waits for one."""

    folder: Name | None = Field(
        None,
        description="Where they are written, and looked for at a restart: what `{output}` stands for; else `output/` in the run's folder. Each run of a sweep has its own below it.",
    )


class Startup(Section):
    """From the start of the job to its first step."""

    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds of start-up.")
