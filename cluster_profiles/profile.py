"""What a cluster is: partitions, limits, node shapes, links, shared folders, rates."""

import datetime as dt
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from ..errors import InputError
from .gpu import Gpu, find_gpu
from .toml_file import Section
from .units import exact, parse_count, parse_duration_s


def _gpu_key(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("is not the name of a GPU")  # noqa: TRY004  pydantic turns ValueError into a message
    try:
        return find_gpu(value).key
    except InputError as error:
        raise ValueError(f"is no GPU we know: {error}") from None


def _number(value: object) -> float:
    return float(exact(value))


Count = Annotated[int, BeforeValidator(parse_count)]
Seconds = Annotated[float, BeforeValidator(parse_duration_s), Field(allow_inf_nan=False)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Link(Section):
    """How fast GPUs exchange data."""

    kind: Name = Field(description="What it is: `nvlink`, `pcie`, `infiniband`, `ethernet`, `slingshot`, ...")
    gb_per_s: Number = Field(gt=0, le=100_000, description="GB/s per GPU, one direction.")


class Partition(Section):
    """One Slurm partition: nodes of one shape, with one time limit."""

    name: Name = Field(description="As `sinfo` spells it.")
    nodes: Count = Field(gt=0, le=100_000, description="How many nodes it has.")
    gpus_per_node: Count = Field(gt=0, le=1024, description="GPUs on each node.")
    gpu: Annotated[str, BeforeValidator(_gpu_key)] | None = Field(
        None, description="GPU type, as the catalogue, NVML or Slurm names it."
    )
    gres: Name | None = Field(None, description="The GRES type Slurm knows that GPU by; left out if untyped.")
    time_limit: Seconds | None = Field(
        None,
        gt=0,
        le=10**9,
        description='Longest walltime of a job, such as "2d"; left out if there is none.',
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

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field(
        description="Three capital letters, such as EUR."
    )
    date: dt.date = Field(description="The day these rates were true; printed beside every cost.")
    per_gpu_hour: Number | None = Field(None, ge=0, le=10**6, description="What one GPU-hour costs.")
    per_kwh: Number | None = Field(None, ge=0, le=10**4, description="What one kWh costs.")
    gco2_per_kwh: Number | None = Field(None, ge=0, le=10**4, description="Carbon intensity, g CO2 per kWh.")
    pue: Number | None = Field(None, ge=1, le=10, description="Power usage effectiveness of the site.")


def _absolute(folders: tuple[str, ...]) -> tuple[str, ...]:
    for folder in folders:
        if not PurePosixPath(folder).is_absolute():
            raise ValueError(f"must be absolute paths, and {folder!r} is not")
    return folders


class ClusterProfile(Section):
    """A cluster as its users meet it."""

    name: Name = Field(description="What the profile is called.")
    description: str = Field("", max_length=1000, description="One line for `clusterplan profiles list`.")
    default_partition: Name | None = Field(
        None, description="The partition used unless another is asked for; else the first listed."
    )
    shared_folders: Annotated[tuple[str, ...], BeforeValidator(lambda v: _absolute(tuple(v)))] = Field(
        (), description="Absolute paths of folders that every node sees."
    )
    node_failures_per_1000_days: Number | None = Field(
        None, ge=0, le=10**6, description="Failures per 1,000 node-days, once the site has counted them."
    )
    partitions: tuple[Partition, ...] = Field(min_length=1, description="`[[partitions]]`, one table each.")
    rates: Rates | None = Field(None, description="`[rates]`: costs, with currency and date.")

    @model_validator(mode="after")
    def _names_agree(self) -> "ClusterProfile":
        names = [partition.name for partition in self.partitions]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"partition {min(twice)!r} is defined twice; each needs a name of its own")
        if self.default_partition and self.default_partition not in names:
            raise ValueError(
                f"default_partition {self.default_partition!r} is not a partition: there are {', '.join(names)}"
            )
        return self

    def partition(self, name: str | None = None) -> Partition:
        """The partition called `name`, or the default one.  Raises InputError if there is none."""
        wanted = name or self.default_partition or self.partitions[0].name
        for partition in self.partitions:
            if partition.name == wanted:
                return partition
        names = ", ".join(partition.name for partition in self.partitions)
        raise InputError(f"partition {wanted!r} is not in profile {self.name!r}: there are {names}")
