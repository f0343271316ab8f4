"""What a cluster is: partitions, limits, node shapes, links, shared folders, rates."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from ..errors import InputError
from .gpu import Gpu, find_gpu
from .toml_file import Section
from .units import join_names, parse_count, parse_duration_s, parse_exact


def _gpu_key(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not the name of a GPU")  # noqa: TRY004  pydantic turns ValueError into a message
    try:
        return find_gpu(value).key
    except InputError as error:
        raise ValueError(str(error).removeprefix(f"GPU {value!r} ")) from None


def _number(value: object) -> float:
    return float(parse_exact(value))


Count = Annotated[int, BeforeValidator(parse_count)]
Seconds = Annotated[float, BeforeValidator(parse_duration_s), Field(allow_inf_nan=False)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


def _text(pattern: str, wanted: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(wanted)
        return value

    return check


Name = Annotated[
    str,
    BeforeValidator(
        _text(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}", "must be one line of text, up to 200 characters")
    ),
]
SlurmName = Annotated[
    str,
    BeforeValidator(
        _text(r"[\w.:+-]{1,200}", "must be a name as Slurm spells it: letters, digits, _ . : + -")
    ),
]
Currency = Annotated[str, BeforeValidator(_text(r"[A-Z]{3}", "must be three capital letters, such as EUR"))]


def _limit(value: object) -> float | None:
    if isinstance(value, str) and value.strip().lower() in ("infinite", "unlimited"):
        return None
    return parse_duration_s(value)


class Link(Section):
    """How fast GPUs exchange data."""

    kind: Name = Field(description="What it is: `nvlink`, `pcie`, `infiniband`, `ethernet`, `slingshot`, ...")
    gb_per_s: Number = Field(gt=0, le=100_000, description="GB/s per GPU, one direction.")


class Partition(Section):
    """One Slurm partition: nodes of one shape, with one time limit."""

    name: SlurmName = Field(description="As `sinfo` spells it.")
    nodes: Count = Field(gt=0, le=100_000, description="How many nodes it has.")
    gpus_per_node: Count = Field(gt=0, le=1024, description="GPUs on each node.")
    gpu: Annotated[str, BeforeValidator(_gpu_key)] | None = Field(
        None, description="GPU type, as the catalogue, NVML or Slurm names it."
    )
    gres: SlurmName | None = Field(
        None, description="The GRES type Slurm knows that GPU by; left out if untyped."
    )
    time_limit: Annotated[float | None, BeforeValidator(_limit)] = Field(
        None,
        gt=0,
        le=10**9,
        description='Longest walltime of a job, such as "2d"; left out or "infinite" if none.',
    )
    preemptible: bool = Field(
        False,  # noqa: FBT003  pydantic's first argument is the default
        description="Whether Slurm may preempt a job here for another.",
    )
    intra_node: Link | None = Field(None, description="The link between GPUs of one node.")
    inter_node: Link | None = Field(None, description="The link between nodes.")
    per_gpu_hour: Number | None = Field(
        None, ge=0, le=10**6, description="What a GPU-hour costs here, where it differs from `[rates]`."
    )

    def gpu_model(self) -> Gpu | None:
        """The catalogue's entry for this partition's GPU, if the profile names one."""
        return find_gpu(self.gpu) if self.gpu else None


class Rates(Section):
    """What GPU-hours and energy cost; nothing about money is printed without it."""

    currency: Currency = Field(description="Three capital letters, such as EUR.")
    date: dt.date = Field(description="The day these rates were true; printed beside every cost.")
    per_gpu_hour: Number | None = Field(None, ge=0, le=10**6, description="What one GPU-hour costs.")
    per_kwh: Number | None = Field(
        None, ge=0, le=10**4, description="What one kWh costs, in `report --profile`."
    )
    gco2_per_kwh: Number | None = Field(
        None, ge=0, le=10**4, description="Carbon intensity, g CO2 per kWh, in `report --profile`."
    )
    pue: Number | None = Field(
        None,
        ge=1,
        le=10,
        description="Power usage effectiveness of the site: what the GPUs' energy is multiplied with; else 1.",
    )

    def gpu_hour(self, partition: Partition | None) -> float | None:
        """What a GPU-hour costs in a partition: its own price, else that of all."""
        own = partition.per_gpu_hour if partition else None
        return self.per_gpu_hour if own is None else own


def _absolute(folders: object) -> tuple[str, ...]:
    if not isinstance(folders, list | tuple):
        raise ValueError('must be a list, such as ["/home"]')  # noqa: TRY004  as above
    for folder in folders:
        if not isinstance(folder, str) or not PurePosixPath(folder).is_absolute():
            raise ValueError(f"must be absolute paths, and {folder!r} is not")
    return tuple(folders)


class ClusterProfile(Section):
    """A cluster as its users meet it."""

    name: Name = Field(description="What the profile is called.")
    description: str = Field("", max_length=1000, description="One line for `clusterplan profiles list`.")
    default_partition: Name | None = Field(
        None, description="The partition used unless another is asked for; else the first listed."
    )
    shared_folders: Annotated[tuple[str, ...], BeforeValidator(_absolute)] = Field(
        (), description="Absolute paths of folders that every node sees."
    )
    requeue: bool = Field(
        True,  # noqa: FBT003  as above
        description="Whether Slurm requeues jobs unless told otherwise (its `JobRequeue`).",
    )
    node_failures_per_1000_days: Number | None = Field(
        None, ge=0, le=10**6, description="Failures per 1,000 node-days, once the site has counted them."
    )
    partitions: tuple[Partition, ...] = Field(min_length=1, description="`[[partitions]]`, one table each.")
    rates: Rates | None = Field(None, description="`[rates]`: costs, with currency and date.")

    @model_validator(mode="after")
    def _names_agree(self) -> "ClusterProfile":
        names = Counter(partition.name for partition in self.partitions)
        twice = [name for name, times in names.items() if times > 1]
        if twice:
            raise ValueError(f"partition {twice[0]!r} is defined twice; each needs a name of its own")
        if self.default_partition and self.default_partition not in names:
            raise ValueError(
                f"default_partition {self.default_partition!r} is not a partition: there are {join_names(names)}"
            )
        return self

    @property
    def most_gpus(self) -> int:
        """GPUs of the largest partition: several may be of the same nodes, so they do not add up."""
        return max(partition.nodes * partition.gpus_per_node for partition in self.partitions)

    def partition(self, name: str | None = None) -> Partition:
        """The partition called `name`, or the default one.  Raises InputError if there is none."""
        wanted = name or self.default_partition or self.partitions[0].name
        for partition in self.partitions:
            if partition.name == wanted:
                return partition
        there = join_names(partition.name for partition in self.partitions)
        raise InputError(f"partition {wanted!r} is none of {self.name} with GPUs: say one of {there}")
