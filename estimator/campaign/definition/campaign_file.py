"""The campaign file: jobs, caps and windows as a person writes them, checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from ....cluster_profiles.files.toml_file import Section, locate, parse_toml, read_toml, validate
from ....cluster_profiles.profile import Count, Name, Number
from ....errors import InputError
from ...estimate.shapes import Keep
from ..campaign import Objective
from .windows import parse_window


def _when(value: object) -> str:
    """A duration or a date, as it is written; a TOML date is one too."""
    if isinstance(value, str) and value.strip():
        return value
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise ValueError('is neither a duration such as "2d" nor a date such as 2026-11-27')


def _window(value: object) -> str:
    text = value if isinstance(value, str) else ""
    parse_window(text)
    return text


When = Annotated[str, BeforeValidator(_when)]
Window = Annotated[str, BeforeValidator(_window)]


class TakenGpus(Section):
    """GPUs of a cap that others have for a time."""

    gpus: Count = Field(gt=0, le=10**6, description="GPUs that are taken, the last nodes first.")
    start: When | None = Field(None, description="From when on. Default: now.")
    end: When = Field(description='Until when: a date, or a duration from now such as "36h".')


class Cap(Section):
    """GPUs that the campaign may hold at once: of a partition, of a GPU type, or of both."""

    partition: Name | None = Field(None, description="Partition of the cluster profile.")
    gpu: Name | None = Field(None, description="GPU type, such as a100-sxm4-80gb.")
    gpus: Count | None = Field(
        None, gt=0, le=10**6, description="The most GPUs at once. Default: all that the partition has."
    )
    gpus_per_node: Count | None = Field(
        None, gt=0, le=1024, description="GPUs per node. Default: the profile's, without one 8."
    )
    windows: tuple[Window, ...] = Field(
        (),
        description='When it is open, local time: "20:00-08:00", "Mon-Fri 20:00-08:00", "Sat-Sun 00:00-24:00". Default: always.',
    )
    start: When | None = Field(None, description="When it opens, as a reservation does. Default: now.")
    end: When | None = Field(None, description="When it closes for good. Default: never.")
    taken: tuple[TakenGpus, ...] = Field((), description="`[[caps.taken]]`: what others have of it.")


class JobEntry(Section):
    """A job of the campaign."""

    file: Name = Field(description="The job file, seen from the folder of the campaign file.")
    name: Name | None = Field(None, description="Default: the name in the job file, or the name of the file.")
    priority: Number = Field(
        1.0, gt=0, le=1000, description="Its weight: what a missed deadline or a later end of it counts."
    )
    deadline: When | None = Field(
        None, description='When it must have ended: a date, or a duration from now such as "2d".'
    )
    earliest: When | None = Field(
        None, description="When it may start: a date, or a duration from now. Default: now."
    )
    after: tuple[Name, ...] = Field((), description="Names of jobs that must have ended before it starts.")
    gpus: tuple[Count, ...] = Field(
        (),
        description="GPUs that it may run on. Default: 1, 2, 4, ... up to the cap, as far as its batch divides.",
    )


class CampaignFile(Section):
    """A campaign: many jobs on few GPUs."""

    name: Name | None = Field(None, description="Name of the campaign. Default: the name of the file.")
    objective: Objective = Field(
        Objective.END,
        description="What is made small once deadlines are met: `end` of all, `gpu-hours`, or the weighted `completion`.",
    )
    deadline: When | None = Field(None, description="Deadline of every job that states none.")
    profile: Name | None = Field(None, description="Cluster profile of jobs that name none.")
    keep: Keep = Field(
        Keep.GLOBAL_BATCH,
        description="What stays the same on other numbers of GPUs: `global-batch` or `per-gpu-batch`.",
    )
    caps: tuple[Cap, ...] = Field(
        (), description="`[[caps]]`, one table each. Default: the partitions that the jobs name."
    )
    jobs: tuple[JobEntry, ...] = Field(
        min_length=1, max_length=5000, description="`[[jobs]]`, one table each."
    )

    @model_validator(mode="after")
    def _caps_differ(self) -> Self:
        keys = [(cap.partition, cap.gpu) for cap in self.caps]
        if len(set(keys)) < len(keys):
            raise ValueError("two caps are on the same partition and GPU type: give one of them")
        if len(keys) > 1 and (None, None) in keys:
            raise ValueError(
                "a cap without partition and gpu is on everything: give it one, or leave out the other caps"
            )
        return self


def read_campaign_file(path: Path) -> CampaignFile:
    """Return the campaign in a TOML file.  Raises InputError with file, line and key of the first fault."""
    text = read_toml(path)
    return validate_campaign(parse_toml(text, path), text, path)


def validate_campaign(values: Mapping[str, Any], text: str, path: Path) -> CampaignFile:
    """Return the campaign of these tables.  Raises InputError likewise."""
    return validate(CampaignFile, values, lambda place: locate(text, path, place), InputError, _keys_called)


def _keys_called(name: str) -> tuple[str, ...]:
    """Return the keys of a campaign that are meant by a name of another program."""
    return _OTHER_NAMES.get(name.lower().replace("-", "_"), ())


_OTHER_NAMES = {
    "depends_on": ("after",),
    "dependencies": ("after",),
    "dependency": ("after",),
    "weight": ("priority",),
    "begin": ("earliest",),
    "start_after": ("earliest",),
    "job": ("jobs.file",),
    "path": ("jobs.file",),
    "shapes": ("jobs.gpus",),
    "max_gpus": ("caps.gpus",),
    "limit": ("caps.gpus",),
}


def is_campaign(path: Path) -> bool:
    """Return whether a TOML file is a campaign and not a job: it has jobs or caps.  Raises InputError if it is no TOML."""
    values = parse_toml(read_toml(path), path)
    return "jobs" in values or "caps" in values
