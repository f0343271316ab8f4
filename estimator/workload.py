"""What is to be trained: the job file, section by section, as frozen values.

Each field says its meaning once, here: the job file's keys, the flags of the command line and the
reference pages are all made from these models.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator
from pydantic.fields import FieldInfo

from ..cluster_profiles.precision import Precision
from ..cluster_profiles.profile import Count, Name, Number, Seconds
from ..cluster_profiles.toml_file import Section
from ..cluster_profiles.units import exact, parse_duration_s
from .run_section import Run, SbatchOptions

_MOST_SAMPLES, _MOST_TOKENS = 10**15, 10**17
_MOST_STEPS = 10**12


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


def _exact(value: object) -> Fraction:
    number = exact(value)
    if number.denominator > 10**6:
        raise ValueError("has more than 6 digits after the point")
    return number


def _step_seconds(value: object) -> float:
    try:
        return float(exact(value))
    except ValueError:
        return parse_duration_s(value)


StepSeconds = Annotated[float, BeforeValidator(_step_seconds), Field(allow_inf_nan=False)]
Exact = Annotated[Fraction, BeforeValidator(_exact)]


def _switch(name: str, description: str) -> Any:
    return _flag(default=False, name=name, metavar="", description=description)


def _flag(default: Any, name: str, metavar: str, description: str, **bounds: Any) -> Any:
    return Field(
        default, description=description, json_schema_extra={"flag": name, "metavar": metavar}, **bounds
    )


def _section(name: str) -> Any:
    # An empty table, validated as part of the whole: a default of its own would need a validator of its own.
    return Field(default_factory=dict, validate_default=True, description=f"`{name}`")


class Data(Section):
    """How much data one epoch is."""

    samples: Count | None = _flag(None, "--samples", "N", "Samples in one epoch.", gt=0, le=_MOST_SAMPLES)
    tokens: Count | None = _flag(
        None,
        "--tokens",
        "N",
        "Tokens in one epoch, instead of samples; needs seq_len.",
        gt=0,
        le=_MOST_TOKENS,
    )
    seq_len: Count | None = _flag(None, "--seq-len", "N", "Tokens in one sample.", gt=0, le=10**8)
    packing: Exact = Field(
        Fraction(1),
        gt=0,
        le=1,
        description="Share of each packed sequence that holds tokens of the data, when counting from tokens.",
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.samples is None and self.tokens is None:
            raise ValueError("the size of the data is missing: give samples, or tokens and seq_len")
        if self.samples is not None and self.tokens is not None:
            raise ValueError("samples and tokens are both given; give one of them")
        if self.tokens is not None and self.seq_len is None:
            raise ValueError("tokens need seq_len, to know how many samples they make")
        if self.packing != 1 and self.tokens is None:
            raise ValueError("packing only matters when counting from tokens")
        return self

    @property
    def sequences(self) -> int:
        """Samples in one epoch; of tokens, ceil(tokens / (seq_len * packing))."""
        if self.samples is not None:
            return self.samples
        tokens, seq_len = self.tokens or 0, self.seq_len or 1
        return -(-tokens * self.packing.denominator // (seq_len * self.packing.numerator))


class Training(Section):
    """How it is trained."""

    batch_size: Count = _flag(
        ..., "--batch-size", "N", "Micro-batch: samples per GPU and pass.", gt=0, le=10**7
    )
    gpus: Count = _flag(..., "--gpus", "N[,N...]", "GPUs in all; several make a table.", gt=0, le=10**6)
    accumulation: Count = _flag(
        1, "--accumulation", "N", "Gradient accumulation: micro-batches in one step.", gt=0, le=10**6
    )
    epochs: Exact = _flag(
        Fraction(1), "--epochs", "E", "Passes over the data; may be fractional.", gt=0, le=10**6
    )
    max_steps: Count | None = Field(
        None,
        gt=0,
        le=_MOST_STEPS,
        description="Stop after so many steps, as the framework's own setting does.",
    )
    framework: Framework = _flag(Framework.HF, "--framework", "NAME", "Whose way of counting steps.")
    precision: Precision = _flag(
        Precision.AUTO, "--precision", "P[,P...]", "Number format of training; several make a table."
    )
    drop_last: StrictBool = _switch("--drop-last", "The loader drops its last partial batch.")
    sampler_drop_last: StrictBool = _switch(
        "--sampler-drop-last", "The distributed sampler drops samples that do not divide."
    )
    tensor_parallel: Count = _flag(1, "--tensor-parallel", "N", "GPUs sharing each layer.", gt=0, le=10**5)
    pipeline_parallel: Count = _flag(
        1, "--pipeline-parallel", "N", "GPUs sharing the layers.", gt=0, le=10**5
    )
    context_parallel: Count = _flag(
        1, "--context-parallel", "N", "GPUs sharing each sequence.", gt=0, le=10**5
    )
    sequence_parallel: Count = _flag(
        1, "--sequence-parallel", "N", "GPUs sharing each sequence, the Ulysses way.", gt=0, le=10**5
    )
    zero_stage: Count | None = Field(
        None,
        ge=0,
        le=3,
        description="What data parallelism shards: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too, as FSDP; for "
        "memory alone.",
    )
    optimizer: Optimizer = Field(Optimizer.ADAM, description="Optimizer; for memory alone.")
    recompute: StrictBool = _switch("--recompute", "Activations are recomputed: 8 instead of 6 FLOPs.")
    global_batch: Count | None = Field(
        None, gt=0, le=10**12, description="The global batch that the script or DeepSpeed states; checked."
    )
    trainer_steps: Count | None = _flag(
        None, "--trainer-steps", "N", "Steps your trainer says it will run; checked.", gt=0, le=_MOST_STEPS
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


class Architecture(Section):
    """What is known of the model, for a prior where nothing is measured."""

    parameters: Count | None = _flag(None, "--parameters", "N", "Parameters of the model.", gt=0, le=10**15)
    active_parameters: Count | None = _flag(
        None, "--active-parameters", "N", "Parameters a token passes through, if MoE.", gt=0, le=10**15
    )
    trainable_parameters: Count | None = Field(
        None,
        gt=0,
        le=10**15,
        description="Parameters that are trained, if not all are (LoRA); for memory alone.",
    )

    @model_validator(mode="after")
    def _parts_are_parts(self) -> Self:
        for name in ("active_parameters", "trainable_parameters"):
            part = getattr(self, name)
            if part and self.parameters and part > self.parameters:
                raise ValueError(
                    f"{name} {part} is more than parameters {self.parameters}; it is a part of them"
                )
        return self

    @property
    def flops_parameters(self) -> int | None:
        """The parameters that count for FLOPs: the active ones."""
        return self.active_parameters or self.parameters


class ThroughputGiven(Section):
    """What you already know about speed: one rate, and the shape it was measured on.

    What is left out of the shape is taken from the rest of the file.
    """

    samples_per_s: Number | None = _flag(
        None, "--samples-per-s", "RATE", "Throughput of all GPUs, samples/s.", gt=0, le=10**12
    )
    samples_per_s_per_gpu: Number | None = _flag(
        None, "--samples-per-s-per-gpu", "RATE", "Throughput of one GPU, samples/s.", gt=0, le=10**9
    )
    tokens_per_s: Number | None = _flag(
        None, "--tokens-per-s", "RATE", "Throughput of all GPUs, tokens/s; needs seq_len.", gt=0, le=10**15
    )
    step_time: StepSeconds | None = _flag(
        None, "--step-time", "SECONDS", "Time of one optimizer step, in seconds.", gt=0, le=10**7
    )
    tflops_per_gpu: Number | None = _flag(
        None, "--tflops-per-gpu", "RATE", "Achieved TFLOP/s of one GPU; needs parameters.", gt=0, le=10**6
    )
    spread: Number | None = _flag(
        None,
        "--throughput-spread",
        "SHARE",
        "Half of the rate's P10-P90 width, relative: 0.05 is -5 % to +5 %.",
        gt=0,
        lt=1,
    )
    gpus: Count | None = _flag(
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
        given = [name for name in RATES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given; give one of them")
        if self.spread and not given:
            raise ValueError(f"spread belongs to a rate: give one of {', '.join(RATES)}")
        return self


RATES = ("samples_per_s", "samples_per_s_per_gpu", "tokens_per_s", "step_time", "tflops_per_gpu")


class Pause(Section):
    """Something that stops training every so many steps."""

    every_steps: Count | None = Field(
        None, ge=0, le=_MOST_STEPS, description="Steps between two; 0 means never; left out means not known."
    )
    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds that training waits for one.")


class Evaluation(Pause):
    """When the model is evaluated, and how long that takes."""

    @model_validator(mode="after")
    def _time_of_something(self) -> Self:
        if self.time_s is not None and self.every_steps is None:
            raise ValueError("evaluation.time_s needs every_steps, to know how often")
        return self


class Checkpoint(Pause):
    """When checkpoints are written, and how long training waits for one."""

    folder: Name | None = Field(
        None, description="Where they are written, and looked for at a restart; else `{output}`."
    )


class Startup(Section):
    """From the start of the job to its first step."""

    time_s: Seconds | None = Field(None, ge=0, le=10**7, description="Seconds of start-up.")


class Cluster(Section):
    """Where it runs."""

    profile: Name | None = _flag(
        None, "--profile", "NAME|PATH", "Cluster profile: limits, node shape, links."
    )
    partition: Name | None = _flag(None, "--partition", "NAME", "Partition of that profile.")
    gpu: Name | None = _flag(None, "--gpu", "TYPE", "GPU type, such as a100-sxm4-80gb.")
    nodes: Count | None = _flag(None, "--nodes", "N", "Nodes; else GPUs / GPUs per node.", gt=0, le=10**5)


class Workload(Section):
    """A job as its file describes it.

    >>> Workload.of(samples=1_000_000, batch_size=32, gpus=8).training.step_samples
    256
    """

    name: Name | None = _flag(None, "--name", "TEXT", "Labels the run.")
    model: Name | None = _flag(
        None, "--model", "TEXT", "The model trained; measurements of it inform the estimate."
    )
    data: Data = Field(description="`[data]`")
    training: Training = Field(description="`[training]`")
    architecture: Architecture = _section("[architecture]")
    throughput: ThroughputGiven = _section("[throughput]")
    evaluation: Evaluation = _section("[evaluation]")
    checkpoint: Checkpoint = _section("[checkpoint]")
    startup: Startup = _section("[startup]")
    cluster: Cluster = _section("[cluster]")
    run: Run | None = Field(None, description="`[run]`")
    slurm: SbatchOptions = Field(
        (), description='Table of further sbatch options by their long names, such as `account = "lab"`.'
    )

    @model_validator(mode="after")
    def _rate_has_its_unit(self) -> Self:
        rate = self.throughput
        if rate.tokens_per_s and not self.data.seq_len:
            raise ValueError("tokens_per_s needs seq_len, to know how many samples that is")
        if rate.tflops_per_gpu and not (self.architecture.flops_parameters and self.data.seq_len):
            raise ValueError("tflops_per_gpu needs parameters and seq_len, to know the FLOPs of a sample")
        return self

    def with_rate_tied(self) -> Self:
        """The same job, its rate tied to this shape however the shape is changed afterwards."""
        here = {
            "gpus": self.training.gpus,
            "nodes": self.cluster.nodes,
            "gpu": self.cluster.gpu,
            "batch_size": self.training.batch_size,
            "accumulation": self.training.accumulation,
            "model_parallel": self.training.model_parallel,
            "precision": self.training.precision,
            "seq_len": self.data.seq_len,
        }
        left_out = {key: value for key, value in here.items() if getattr(self.throughput, key) is None}
        return self.model_copy(update={"throughput": self.throughput.model_copy(update=left_out)})

    @classmethod
    def of(cls, **values: Any) -> Self:
        """A workload from the names of the flags: `batch_size` for `--batch-size`, and so on."""
        return cls.model_validate(nested(values))


def flags() -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Every field with a flag: its flag, its place in the job file, its description and bounds."""
    for key, field in Workload.model_fields.items():
        table = field.annotation
        inner = table.model_fields if isinstance(table, type) and issubclass(table, Section) else {}
        for place, leaf in [((key,), field), *(((key, name), f) for name, f in inner.items())]:
            if isinstance(leaf.json_schema_extra, dict) and (flag := leaf.json_schema_extra.get("flag")):
                yield str(flag), place, leaf


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values named as flags are, laid out as the job file is.

    >>> nested({"batch_size": 32, "samples": 100})
    {'data': {'samples': 100}, 'training': {'batch_size': 32}}
    """
    tables: dict[str, Any] = {"data": {}, "training": {}}
    places = {re.sub(r"^--", "", flag).replace("-", "_"): place for flag, place, _ in flags()}
    for name, value in values.items():
        if name not in places:
            raise TypeError(f"{name!r} is no flag of a workload: there are {', '.join(places)}")
        *table, key = places[name]
        (tables.setdefault(table[0], {}) if table else tables)[key] = value
    return tables
