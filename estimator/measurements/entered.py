"""Measurements from elsewhere, as people enter them."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from ...cluster_profiles.files.toml_file import Section, validate
from ...cluster_profiles.gpu import find_gpu, read_gpus
from ...cluster_profiles.precision import Precision
from ...cluster_profiles.profile import Count, Name, Number
from ...cluster_profiles.units import ceil_div
from ...errors import InputError
from ..job.fields import Length, SampleRate, ShortSeconds, StepSeconds, TokenRate
from ..job.placement import USUAL_GPUS_PER_NODE
from ..job.shape import Shape
from .measurement import Measurement

ENTERED_RATES = (
    "step_time_s",
    "samples_per_s",
    "samples_per_s_per_gpu",
    "tokens_per_s",
    "tokens_per_s_per_gpu",
)


def _date(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is not a date such as 2026-11-01") from None
    return moment if moment.tzinfo else moment.astimezone()


class EnteredRun(Section):
    """One measurement as it is entered: the columns of a CSV file, and the flags of `history add`."""

    model: Name = Field(description="Name of the model, as in `model` of the job file.")
    gpu: Name | None = Field(None, description="GPU type, such as a100-sxm4-80gb.")
    gpus: Count = Field(gt=0, le=10**6, description="GPUs in total.")
    nodes: Count | None = Field(
        None, gt=0, le=10**5, description="Nodes. Default: the fewest that hold the GPUs."
    )
    gpus_per_node: Count | None = Field(
        None, gt=0, le=1024, description="GPUs of the fullest node. Default: GPUs / nodes, rounded up."
    )
    batch_size: Count = Field(gt=0, le=10**7, description="Micro-batch: samples per GPU and forward pass.")
    accumulation: Count = Field(1, gt=0, le=10**6, description="Micro-batches per step.")
    model_parallel: Count | None = Field(
        None, gt=0, le=10**6, description="GPUs per replica. Default: tensor x pipeline parallel."
    )
    tensor_parallel: Count | None = Field(
        None,
        gt=0,
        le=10**5,
        description="GPUs that share each layer. Default: not known where model_parallel leaves it open.",
    )
    pipeline_parallel: Count | None = Field(
        None, gt=0, le=10**5, description="GPUs that split the layers among them. Default: likewise."
    )
    zero_stage: Count | None = Field(
        None, ge=0, le=3, description="ZeRO stage; FSDP is 3. Default: not known."
    )
    precision: Precision = Field(
        Precision.AUTO, description="Number format of training; `auto` needs the GPU type."
    )
    seq_len: Length | None = Field(None, gt=0, le=10**8, description="Tokens per sample; 8k is 8,192.")
    parameters: Count | None = Field(None, gt=0, le=10**15, description="Parameters of the model.")
    active_parameters: Count | None = Field(
        None,
        gt=0,
        le=10**15,
        description="Parameters that each token passes through, for a mixture of experts.",
    )
    trainable_parameters: Count | None = Field(
        None, gt=0, le=10**15, description="Parameters that are trained, if not all are (LoRA)."
    )
    cluster: Name | None = Field(None, description="Name of the cluster profile.")
    step_time_s: StepSeconds | None = Field(
        None, gt=0, le=10**7, description="Time of one optimizer step: seconds, 300ms, 3.7s/it, 0.27it/s."
    )
    samples_per_s: SampleRate | None = Field(
        None, gt=0, le=10**12, description="Instead: throughput of all GPUs, samples/s."
    )
    samples_per_s_per_gpu: SampleRate | None = Field(
        None, gt=0, le=10**9, description="Instead: throughput of one GPU, samples/s."
    )
    tokens_per_s: TokenRate | None = Field(
        None, gt=0, le=10**15, description="Instead: throughput of all GPUs, tokens/s; needs seq_len."
    )
    tokens_per_s_per_gpu: TokenRate | None = Field(
        None, gt=0, le=10**12, description="Instead: throughput of one GPU, tokens/s; needs seq_len."
    )
    spread: Number | None = Field(
        None,
        ge=0,
        lt=1,
        description="Half of the width from P10 to P90 of the step times, relative to their mean.",
    )
    n_steps: Count | None = Field(None, gt=0, le=10**12, description="Steps over which it was measured.")
    busy_share: Number | None = Field(None, ge=0, le=1, description="Mean utilisation of the GPUs, 0 to 1.")
    data_wait_share: Number | None = Field(
        None, ge=0, le=1, description="Share of the step that waits for input, 0 to 1."
    )
    memory_peak_bytes: Count | None = Field(
        None, gt=0, le=10**13, description="Peak memory of the GPU that used most."
    )
    startup_s: ShortSeconds | None = Field(
        None, ge=0, le=10**7, description="Time from the start of the job to its first step, in seconds."
    )
    evaluation_s: ShortSeconds | None = Field(
        None, ge=0, le=10**7, description="Time of one evaluation, in seconds."
    )
    checkpoint_s: ShortSeconds | None = Field(
        None, ge=0, le=10**7, description="Time of one checkpoint, in seconds."
    )
    source: Name | None = Field(None, description="Origin of the number: a log, a paper, a colleague.")
    when: Annotated[dt.datetime | None, BeforeValidator(_date)] = Field(
        None, description="Date of the measurement. Default: today."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        rates = [name for name in ENTERED_RATES if getattr(self, name) is not None]
        if len(rates) != 1:
            which = f"{' and '.join(rates)} are given" if rates else "no throughput is given"
            raise ValueError(f"{which}; give one of {', '.join(ENTERED_RATES)}")
        if rates[0].startswith("tokens") and not self.seq_len:
            raise ValueError(f"{rates[0]} needs seq_len: the tokens per sample")
        if self.nodes and self.nodes > self.gpus:
            raise ValueError(f"{self.nodes} nodes for {self.gpus} GPUs; give at most one node per GPU")
        split = (self.tensor_parallel or 1) * (self.pipeline_parallel or 1)
        if self.model_parallel and self.model_parallel % split:
            raise ValueError(
                f"model_parallel {self.model_parallel} is not a multiple of tensor x pipeline parallel, {split}: "
                "leave it out, or give the GPUs per replica"
            )
        if self.gpus % self._replica_gpus:
            raise ValueError(
                f"{self.gpus} GPUs cannot be split: a replica takes {self._replica_gpus}; "
                f"give a multiple of {self._replica_gpus}"
            )
        for name in ("active_parameters", "trainable_parameters"):
            part = getattr(self, name)
            if part and self.parameters and part > self.parameters:
                raise ValueError(
                    f"{name} {part} is more than parameters {self.parameters}: give a part of them"
                )
        per_node, nodes = self.gpus_per_node, self.nodes
        if per_node and nodes and not per_node <= self.gpus <= per_node * nodes:
            raise ValueError(f"{self.gpus} GPUs do not fit {nodes} nodes with gpus_per_node {per_node}")
        key = self._catalogue_key()  # a type that two GPUs answer to is wrong, whatever the precision
        if self.precision is Precision.AUTO and key is None:
            raise ValueError("the precision is missing: give fp32, tf32, bf16, fp16 or fp8")
        return self

    @property
    def _replica_gpus(self) -> int:
        return self.model_parallel or (self.tensor_parallel or 1) * (self.pipeline_parallel or 1)

    def _catalogue_key(self) -> str | None:
        """The GPU type's key in the catalogue; None if no type is stated, or the catalogue has not this one."""
        keys = [key for key, gpu in read_gpus().items() if self.gpu and gpu.answers_to(self.gpu)]
        if len(keys) < 2:  # noqa: PLR2004
            return keys[0] if keys else None
        try:
            return find_gpu(self.gpu or "").key
        except InputError as error:
            raise ValueError(str(error)) from None

    @property
    def shape(self) -> Shape:
        """Return the shape in which it was measured, completed by the catalogue and by the usual node."""
        key = self._catalogue_key()
        nodes = self.nodes or ceil_div(self.gpus, self.gpus_per_node or USUAL_GPUS_PER_NODE)
        precision = self.precision
        if precision is Precision.AUTO and key:
            precision = read_gpus()[key].best_precision()
        return Shape(
            gpu=key or self.gpu,
            nodes=nodes,
            gpus=self.gpus,
            gpus_per_node=self.gpus_per_node or ceil_div(self.gpus, nodes),
            batch_size=self.batch_size,
            accumulation=self.accumulation,
            model_parallel=self._replica_gpus,
            precision=precision,
            seq_len=self.seq_len,
            tensor_parallel=self.tensor_parallel,
            pipeline_parallel=self.pipeline_parallel,
            zero_stage=self.zero_stage,
        )

    def measurement(self, now: dt.datetime, source: str) -> Measurement:
        """Return it as a measurement; `now` and `source` hold where no date and no source is entered."""
        shape = self.shape
        return Measurement(
            model=self.model,
            **vars(shape),
            step_time_s=self._step_time_s(shape.step_samples),
            spread=self.spread,
            n_steps=self.n_steps,
            busy_share=self.busy_share,
            data_wait_share=self.data_wait_share,
            memory_peak_bytes=self.memory_peak_bytes,
            cluster=self.cluster,
            parameters=self.parameters,
            active_parameters=self.active_parameters,
            trainable_parameters=self.trainable_parameters,
            source=self.source or source,
            when=self.when or now,
            startup_s=self.startup_s,
            evaluation_s=self.evaluation_s,
            checkpoint_s=self.checkpoint_s,
        )

    def _step_time_s(self, step_samples: float) -> float:
        if self.step_time_s:
            return self.step_time_s
        samples_per_s = self.samples_per_s or (self.samples_per_s_per_gpu or 0) * self.gpus
        tokens_per_s = self.tokens_per_s or (self.tokens_per_s_per_gpu or math.inf) * self.gpus
        return step_samples / (samples_per_s or tokens_per_s / (self.seq_len or 1))


def parse_entered(values: Mapping[str, Any], flags: Mapping[str, str]) -> EnteredRun:
    """Return one measurement from the values of flags.  Raises InputError that names the wrong flag."""
    return validate(EnteredRun, values, lambda place: f"{flags[str(place[0])]}: " if place else "")
