"""A cluster profile: partitions, limits, node shapes, links, shared folders, rates."""

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from ..errors import InputError
from .files.toml_file import Section
from .gpu import check_is_type, find_gpu, match_gpus
from .mig import parse_slice
from .units import join_names, parse_count, parse_duration_s, parse_exact


def _number(value: object) -> float:
    return float(parse_exact(value))


Count = Annotated[int, BeforeValidator(parse_count)]
Seconds = Annotated[float, BeforeValidator(parse_duration_s), Field(allow_inf_nan=False)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]


def _text(pattern: str, message: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return check


_one_line = _text(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}", "must be one line of text, up to 200 characters")
Name = Annotated[str, BeforeValidator(_one_line)]
SlurmName = Annotated[
    str,
    BeforeValidator(
        _text(r"[\w.:+-]{1,200}", "must be a name as Slurm spells it: letters, digits, _ . : + -")
    ),
]
Currency = Annotated[str, BeforeValidator(_text(r"[A-Z]{3}", "must be three capital letters, such as EUR"))]


def _gpu_type(value: object) -> str:
    """The catalogue's key of a GPU, or a name that the catalogue lacks."""
    name = _one_line(value)
    try:
        check_is_type(name)
        return find_gpu(name).key if match_gpus(name) else name
    except InputError as error:
        raise ValueError(str(error).removeprefix(f"GPU {name!r} ")) from None


def _limit(value: object) -> float | None:
    if isinstance(value, str) and value.strip().lower() in ("infinite", "unlimited"):
        return None
    return parse_duration_s(value)


class Link(Section):
    """A link over which GPUs exchange data."""

    kind: Name = Field(
        description="Kind of link: `nvlink`, `pcie`, `infiniband`, `ethernet`, `slingshot`, ..."
    )
    gb_per_s: Number = Field(gt=0, le=100_000, description="GB/s per GPU in one direction.")


class GpuGroup(Section):
    """Nodes of a partition with GPUs of one type.  A node with two types is in two groups."""

    nodes: Count = Field(gt=0, le=100_000, description="Number of nodes with these GPUs.")
    gpus_per_node: Count = Field(gt=0, le=1024, description="GPUs of this type per node.")
    gpu: Annotated[str, BeforeValidator(_gpu_type)] | None = Field(
        None,
        description="GPU type, as the catalogue, NVML or Slurm names it; of a slice, the GPU that it is cut from. Peak and memory of any other type are not known.",
    )
    gres: SlurmName | None = Field(
        None, description="GRES type by which Slurm knows that GPU. Default: none, the GRES has no type."
    )
    slice: Name | None = Field(
        None,
        description="MIG profile, such as `1g.10gb`, where these are slices of that GPU. A job gets slices only by name. Default: what `gres` says.",
    )
    intra_node: Link | None = Field(None, description="The link between GPUs of one node.")
    inter_node: Link | None = Field(None, description="The link between nodes.")
    per_gpu_hour: Number | None = Field(
        None, ge=0, le=10**6, description="Price of an hour of such a GPU. Default: that of `[rates]`."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_slice(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("slice") is not None:
            return values
        name = values.get("gres")
        return (
            {**values, "slice": cut.profile}
            if isinstance(name, str) and (cut := parse_slice(name))
            else values
        )

    @property
    def type_name(self) -> str | None:
        """Return what is known of the type: the catalogue's key if stated, otherwise Slurm's name; None without both.

        A slice never has the name of its GPU, whose peak and memory it does not have.
        """
        if self.slice:
            return self.gres or f"{self.gpu}_{self.slice}"
        return self.gpu or self.gres

    @property
    def label(self) -> str:
        """Return the name by which `--gpu` gets these GPUs."""
        return self.gres or self.type_name or "untyped"


class _Named(Section):
    name: SlurmName = Field(description="Name of the partition, as `sinfo` spells it.")


class Partition(GpuGroup, _Named):
    """One Slurm partition with one time limit, and the GPUs that a job there gets if it names none."""

    other_gpus: tuple[GpuGroup, ...] = Field(
        (), description="`[[partitions.other_gpus]]`: GPUs that a job gets by their name, with `--gpu`."
    )
    time_limit: Annotated[float | None, BeforeValidator(_limit)] = Field(
        None,
        gt=0,
        le=10**9,
        description='Longest walltime of a job, such as "2d". Default: no limit, as with "infinite".',
    )
    preemptible: bool = Field(
        False,  # noqa: FBT003  pydantic's first argument is the default
        description="Whether Slurm may preempt a job here for another job.",
    )

    @property
    def groups(self) -> tuple[GpuGroup, ...]:
        """Return its GPUs, group by group: first those that a job gets if it names none."""
        first = GpuGroup.model_construct(**{key: getattr(self, key) for key in GpuGroup.model_fields})
        return first, *self.other_gpus

    def of_group(self, group: GpuGroup) -> "Partition":
        """Return the partition as a job sees it that gets the GPUs of `group`: the rest are its `other_gpus`."""
        mine = {key: getattr(group, key) for key in GpuGroup.model_fields}
        rest = tuple(other for other in self.groups if other != group)
        return self.model_copy(update={**mine, "other_gpus": rest})


class Rates(Section):
    """Prices of GPU-hours and energy; without them, no cost is printed."""

    currency: Currency = Field(description="Three capital letters, such as EUR.")
    date: dt.date = Field(description="The day of these rates; it is printed beside every cost.")
    per_gpu_hour: Number | None = Field(None, ge=0, le=10**6, description="Price of one GPU-hour.")
    per_kwh: Number | None = Field(
        None, ge=0, le=10**4, description="Price of one kWh of the GPUs' energy, of estimates and reports."
    )
    gco2_per_kwh: Number | None = Field(
        None, ge=0, le=10**4, description="Carbon intensity in g CO2 per kWh, of estimates and reports."
    )
    pue: Number | None = Field(
        None,
        ge=1,
        le=10,
        description="Power usage effectiveness of the site, a factor on the energy of the GPUs. Default: 1.",
    )

    def gpu_hour(self, partition: Partition | None) -> float | None:
        """Return the price of a GPU-hour in a partition: its own, otherwise the general one."""
        partition_price = partition.per_gpu_hour if partition else None
        return self.per_gpu_hour if partition_price is None else partition_price


def _absolute(folders: object) -> tuple[str, ...]:
    if not isinstance(folders, list | tuple):
        raise ValueError('must be a list, such as ["/home"]')  # noqa: TRY004  as above
    for folder in folders:
        if not isinstance(folder, str) or not PurePosixPath(folder).is_absolute():
            raise ValueError(f"must be absolute paths, and {folder!r} is not")
    return tuple(folders)


class ClusterProfile(Section):
    """A cluster from the view of its users."""

    name: Name = Field(description="Name of the profile.")
    description: str = Field("", max_length=1000, description="One line for `clusterplan profiles list`.")
    default_partition: Name | None = Field(
        None, description="Partition of jobs that name none. Default: the first one."
    )
    shared_folders: Annotated[tuple[str, ...], BeforeValidator(_absolute)] = Field(
        (), description="Absolute paths of folders that every node sees."
    )
    requeue: bool = Field(
        True,  # noqa: FBT003  as above
        description="Whether Slurm requeues jobs by default (`JobRequeue` of its configuration).",
    )
    node_failures_per_1000_days: Number | None = Field(
        None,
        ge=0,
        le=10**6,
        description="Failures per 1,000 node-days, as the site has counted them. Default: a published range.",
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
        """Return the most whole GPUs of one type in one partition; partitions may share nodes, so they do not add up."""
        groups = [group for partition in self.partitions for group in partition.groups]
        whole = [group for group in groups if not group.slice] or groups
        return max(group.nodes * group.gpus_per_node for group in whole)

    def partition(self, name: str | None = None) -> Partition:
        """Return the partition called `name`, or the default one.  Raises InputError if it does not exist."""
        choice = name or self.default_partition or self.partitions[0].name
        for partition in self.partitions:
            if partition.name == choice:
                return partition
        names = join_names(partition.name for partition in self.partitions)
        raise InputError(
            f"partition {choice!r} is not a partition of {self.name} with GPUs: give one of {names}"
        )
