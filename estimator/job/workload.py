"""A training job: the job file, section by section, as frozen values.

Each field is described once, here or in the module of its section: the keys of the job file, the flags of the command
line and the reference pages are all made from these models.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from ...cluster_profiles.files.toml_file import Section
from ...cluster_profiles.profile import Count, Name
from .data import Data
from .fields import flag, section
from .framework import STEP_RULES, Framework
from .given import STATED_RATES, CheckpointPlan, Evaluation, Startup, StatedThroughput
from .run import RunOptions, SbatchOptions
from .training import Training


class Architecture(Section):
    """The size of the model.  A prior needs it where nothing is measured."""

    parameters: Count | None = flag(None, "--parameters", "N", "Parameters of the model.", gt=0, le=10**15)
    active_parameters: Count | None = flag(
        None,
        "--active-parameters",
        "N",
        "Parameters that each token passes through, for a mixture of experts.",
        gt=0,
        le=10**15,
    )
    trainable_parameters: Count | None = Field(
        None,
        gt=0,
        le=10**15,
        description="Parameters that are trained, if not all are (LoRA, a projector).",
    )
    layers: Count | None = Field(
        None, gt=0, le=10**5, description="Layers. Default: guessed from the parameters, as is `hidden`."
    )
    hidden: Count | None = Field(None, gt=0, le=10**7, description="Hidden size of a layer.")
    vocabulary: Count | None = Field(
        None,
        gt=0,
        le=10**8,
        description="Words of the vocabulary, whose logits take memory. Default: 32,000 to 152,000.",
    )
    base_bits: Literal[4, 8, 16] | None = Field(
        None,
        description="Bits of the frozen base weights: 4 or 8 if they are quantised (QLoRA); it needs trainable_parameters.",
    )

    @model_validator(mode="after")
    def _parts_are_parts(self) -> Self:
        for name in ("active_parameters", "trainable_parameters"):
            part = getattr(self, name)
            if part and self.parameters and part > self.parameters:
                raise ValueError(
                    f"{name} {part} is more than parameters {self.parameters}: give a part of them"
                )
        if self.layers and self.hidden and self.layers > self.hidden:
            raise ValueError(f"layers {self.layers} are more than hidden {self.hidden}: swap them")
        if self.base_bits in (4, 8) and not (self.parameters and self.trainable_parameters):
            raise ValueError(
                f"base_bits {self.base_bits} is for frozen weights: give parameters, and trainable_parameters that stay in "
                "16 bit (LoRA)"
            )
        return self

    @property
    def trained_share(self) -> float:
        """Return the share of the parameters that is trained."""
        whole = self.parameters or self.active_parameters
        return min(self.trainable_parameters / whole, 1.0) if self.trainable_parameters and whole else 1.0

    @property
    def flops_parameters(self) -> int | None:
        """Return the parameters that count for FLOPs: the active ones."""
        return self.active_parameters or self.parameters


class ClusterChoice(Section):
    """The cluster, and the part of it that the job runs on."""

    profile: Name | None = flag(
        None, "--profile", "NAME|PATH", "Cluster profile: time limits, GPUs per node, links."
    )
    partition: Name | None = flag(None, "--partition", "NAME", "Partition of the cluster profile.")
    gpu: Name | None = flag(None, "--gpu", "TYPE", "GPU type, such as a100-sxm4-80gb.")
    nodes: Count | None = flag(
        None, "--nodes", "N", "Nodes. Default: GPUs / GPUs per node, rounded up.", gt=0, le=10**5
    )


class Workload(Section):
    """A job as its file describes it.

    Examples:
        >>> Workload.of(samples=1_000_000, batch_size=32, gpus=8).training.step_samples
        256
    """

    name: Name | None = flag(None, "--name", "TEXT", "Name of the run.")
    model: Name | None = flag(
        None, "--model", "TEXT", "Name of the model; runs of the same model inform the estimate."
    )
    data: Data = section("[data]")
    training: Training = Field(description="`[training]`")
    architecture: Architecture = section("[architecture]")
    throughput: StatedThroughput = section("[throughput]")
    evaluation: Evaluation = section("[evaluation]")
    checkpoint: CheckpointPlan = section("[checkpoint]")
    startup: Startup = section("[startup]")
    cluster: ClusterChoice = section("[cluster]")
    run: RunOptions | None = Field(None, description="`[run]`")
    slurm: SbatchOptions = Field(
        (), description='Table of other options of sbatch by their long names, such as `account = "lab"`.'
    )

    @property
    def epoch_samples(self) -> int | None:
        """Return the samples that an epoch trains on; None if the size of the data is not known.

        They are the training samples of the data x generations; TRL drops the prompts that do not fill a global batch.
        """
        training = self.training
        if self.data.training_samples is None:
            return None
        samples = self.data.training_samples * training.generations
        fills_batches = training.generations > 1 and STEP_RULES[training.framework].is_trainer
        return samples - samples % training.step_samples if fills_batches else samples

    @model_validator(mode="after")
    def _batches_in_samples(self) -> Self:
        object.__setattr__(self, "training", self.training.in_samples(self.data.tokens_per_sample))
        return self

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.data.sequences is None and self.training.max_steps is None:
            raise ValueError(
                "the size of the data is missing: give samples, or tokens and seq_len, or the steps of the run as max_steps"
            )
        if self.epoch_samples == 0:
            raise ValueError(
                f"{self.data.training_samples:,} prompts x {self.training.generations:,} generations do not fill one global "
                f"batch of {self.training.step_samples:,}, and TRL drops them: give a smaller batch"
            )
        return self

    @model_validator(mode="after")
    def _shares_are_of_the_run(self) -> Self:
        """Refuse a share of Lightning's, which is one of an epoch (`val_check_interval`)."""
        for name in ("evaluation", "checkpoint"):
            every = getattr(self, name).every_steps
            if isinstance(every, float) and self.training.framework is Framework.LIGHTNING:
                raise ValueError(
                    f"{name}.every_steps {every:g} is a share of the run, and Lightning takes shares of an epoch: give "
                    f"every_epochs = {every:g}"
                )
        return self

    @model_validator(mode="after")
    def _experts_have_a_size(self) -> Self:
        size = self.architecture
        if self.training.expert_parallel > 1 and not (size.parameters and size.active_parameters):
            raise ValueError(
                "expert_parallel needs parameters and active_parameters, which give the size of experts"
            )
        return self

    @model_validator(mode="after")
    def _rate_has_its_unit(self) -> Self:
        rate = self.throughput
        for name in ("tokens_per_s", "tokens_per_s_per_gpu"):
            if getattr(rate, name) and not self.data.tokens_per_sample:
                raise ValueError(f"{name} needs seq_len: the tokens per sample")
        for name in ("tflops_per_gpu", "mfu"):
            if getattr(rate, name) and not (
                self.architecture.flops_parameters and self.data.tokens_per_sample
            ):
                raise ValueError(f"{name} needs parameters and seq_len, which give the FLOPs per sample")
        return self

    def with_rate_tied(self) -> Self:
        """Return the same job with its rate, if it has one, tied to its present shape, so that the shape can be changed."""
        if all(getattr(self.throughput, rate) is None for rate in STATED_RATES):
            return self
        shape = {
            "gpus": self.training.gpus,
            "nodes": self.cluster.nodes if self.throughput.gpus in (None, self.training.gpus) else None,
            "gpu": self.cluster.gpu,
            "batch_size": self.training.batch_size,
            "accumulation": self.training.accumulation,
            "model_parallel": self.training.model_parallel,
            "precision": self.training.precision,
            "seq_len": self.data.tokens_per_sample,
        }
        unstated = {key: value for key, value in shape.items() if getattr(self.throughput, key) is None}
        return self.model_copy(update={"throughput": self.throughput.model_copy(update=unstated)})

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return a workload from values named as the flags are: `batch_size` for `--batch-size`, and so on."""
        return cls.model_validate(nest_values(values))


def list_flags() -> Iterator[tuple[str, tuple[str, ...], FieldInfo]]:
    """Yield every field with a flag: the flag, its place in the job file, and the field."""
    for key, field in Workload.model_fields.items():
        table = field.annotation
        inner = table.model_fields if isinstance(table, type) and issubclass(table, Section) else {}
        for place, leaf in [((key,), field), *(((key, name), f) for name, f in inner.items())]:
            if isinstance(leaf.json_schema_extra, dict) and (flag := leaf.json_schema_extra.get("flag")):
                yield str(flag), place, leaf


_PLACES = {flag.removeprefix("--").replace("-", "_"): place for flag, place, _ in list_flags()}


def nest_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values named as the flags are, in the tables of the job file.  Raises TypeError for another name.

    >>> nest_values({"batch_size": 32, "samples": 100})
    {'data': {'samples': 100}, 'training': {'batch_size': 32}}
    """
    tables: dict[str, Any] = {"data": {}, "training": {}}
    for name, value in values.items():
        if name not in _PLACES:
            raise TypeError(f"{name!r} is not a flag of a workload: the flags are {', '.join(_PLACES)}")
        *table, key = _PLACES[name]
        (tables.setdefault(table[0], {}) if table else tables)[key] = value
    return tables


def stated_values(workload: Workload) -> dict[str, Any]:
    """Return what is stated of a workload, as the tables of a job file: defaults are left out.

    >>> stated_values(Workload.of(max_steps=10, batch_size=4, gpus=2))["training"]
    {'batch_size': 4, 'gpus': 2, 'max_steps': 10}
    """
    values = workload.model_dump(mode="json", exclude_unset=True)
    return {**values, **({"slurm": dict(workload.slurm)} if workload.slurm else {})}
