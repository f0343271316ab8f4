"""What to book for a campaign, from Python, as `clusterplan book` does."""

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ...cluster_profiles.configuration import read_configuration
from ...cluster_profiles.profile import ClusterProfile
from ...errors import InputError
from ...estimator.campaign.boxes import Box, choose_box, find_boxes
from ...estimator.campaign.reservation import Reservation, whole_hours_s
from ...estimator.measurements.measurement import Measurement
from ...render.campaign.boxes import boxes_as_dict, write_boxes
from ...render.layout import Page
from ..measurements import ProgressCallback
from ..result import Result
from .build import build_campaign
from .definition import Source, read_definition
from .moment import parse_future


@dataclass(frozen=True, repr=False)
class Booking(Result):
    """Boxes of GPUs x time that hold a campaign, the smallest first, with the reservation of each.

    `best` is the index of the one with the fewest GPU-hours in which all deadlines are met.
    """

    boxes: tuple[Box, ...]
    reservations: tuple[Reservation, ...]
    best: int
    notes: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences on what could not be read."""
        return self.notes

    def as_dict(self) -> dict[str, Any]:
        """Return the dict of `clusterplan book --json`; docs/reference/json.md describes the keys."""
        return boxes_as_dict(self.boxes, self.reservations, self.best)

    def write(self, page: Page) -> None:
        """Write a row for each box, and the line for the administrator."""
        write_boxes(page, self.boxes, self.reservations, self.best)


def book(
    campaign: Source,
    *,
    nodes: int | None = None,
    start: str | None = None,
    users: Sequence[str] = (),
    accounts: Sequence[str] = (),
    caps: Sequence[str] = (),
    profile: str | os.PathLike[str] | ClusterProfile | None = None,
    deadline: str | None = None,
    priors: bool = False,
    measurements: Sequence[Measurement] | None = None,
    now: datetime | None = None,
    progress: ProgressCallback | None = None,
) -> Booking:
    """Return what to book for a campaign: boxes of GPUs x time that hold it, and the `scontrol` line of each.

    A box is as long as its P90, rounded up to hours, from `start` on, which is a date or a duration from now; by default
    the next full hour.  `nodes` chooses the box that is `best`.  The reservation is for `users`, or `accounts`; by
    default for the account of the settings, otherwise for this user.  The other arguments are those of `schedule`.

    Examples:
        >>> from clusterplan import Workload
        >>> jobs = [Workload.of(name=n, samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3) for n in ("a", "b")]
        >>> answer = book(jobs, caps=["16"], users=["ann"], measurements=[])
        >>> [box.gpus for box in answer.boxes]
        [8, 16]
    """
    now = now or datetime.now(UTC)
    definition = read_definition(campaign, caps=caps, profile=profile)
    built = build_campaign(
        definition, now, deadline=deadline, measurements=measurements, use_priors=priors, progress=progress
    )
    start_s = parse_future("--start", start, now) if start else _next_hour(now).timestamp()
    boxes = find_boxes(replace(built.campaign, now_s=start_s))
    cap = next(iter(definition.caps.values()))
    owners = _owners(users, accounts)
    name = re.sub(r"[^\w.-]+", "-", definition.name)
    reservations = tuple(
        Reservation(name, start_s, whole_hours_s(box.p90_s), box.nodes, cap.partition, **owners)
        for box in boxes
    )
    return Booking(tuple(boxes), reservations, _best(boxes, nodes), built.remarks)


def _best(boxes: Sequence[Box], nodes: int | None) -> int:
    if nodes is None:
        return boxes.index(choose_box(boxes))
    for i, box in enumerate(boxes):
        if box.nodes == nodes:
            return i
    raise InputError(
        f"--nodes: no box has {nodes} nodes: there are {', '.join(str(box.nodes) for box in boxes)}"
    )


def _owners(users: Sequence[str], accounts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if users or accounts:
        return {"users": tuple(users), "accounts": tuple(accounts)}
    account = read_configuration(os.environ).text("account")
    return {"accounts": (account,)} if account else {"users": (getpass.getuser(),)}


def _next_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
