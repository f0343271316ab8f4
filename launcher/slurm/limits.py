"""What a QOS or an account lets one job have, as Slurm's accounting says it: frozen values.  `client` asks for them.

A limit holds once: that of the partition's QOS, else of the job's, else of the association of user and account
(https://slurm.schedmd.com/resource_limits.html, hierarchy).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .text import parse_limit_s

QOS_FORMAT = "Name,Flags,MaxWall,MaxTRES,MaxTRESPerNode,MaxTRESPU,MaxTRESPA,GrpTRES,MinTRES"
ASSOCIATION_FORMAT = "Account,Partition,DefaultQOS,MaxWall,MaxTRES,MaxTRESPerNode,GrpTRES"

Tres = Mapping[str, int]  # counts by Slurm's names: node, gres/gpu, gres/gpu:a100


@dataclass(frozen=True)
class Limits:
    """The limits of one QOS or association, which `holder` names; a resource without a limit is left out.

    `per_user`, `per_account` and `in_all` are shared by several jobs: one job that asks for more never starts.
    """

    holder: str
    wins_over_partition: bool
    wall_s: float | None
    per_job: Tres
    per_node: Tres
    per_user: Tres
    per_account: Tres
    in_all: Tres
    at_least: Tres


@dataclass(frozen=True)
class Association:
    """A user's association with an account, in one partition or in all: its limits, and its default QOS."""

    account: str
    partition: str | None
    default_qos: str | None
    limits: Limits


@dataclass(frozen=True)
class Accounting:
    """What accounting knows of this user: the default account, the associations, and every QOS by name."""

    default_account: str | None
    associations: tuple[Association, ...]
    qos: Mapping[str, Limits]

    def limits_of(
        self, account: str | None, qos: str | None, partition: str | None, partition_qos: str | None
    ) -> tuple[Limits, ...]:
        """Return the limits that hold for a job, the one that wins first.  A None leaves it to the default."""
        mine = [one for one in self.associations if one.account == (account or self.default_account)]
        association = next(
            (one for wanted in (partition, None) for one in mine if one.partition == wanted), None
        )
        of_job = self.qos.get(qos or (association.default_qos if association else None) or "")
        in_order = [self.qos.get(partition_qos or ""), of_job, association.limits if association else None]
        if of_job and of_job.wins_over_partition:
            in_order[:2] = reversed(in_order[:2])
        return tuple(limits for limits in in_order if limits)


def parse_qos(text: str) -> dict[str, Limits]:
    """Return every QOS of `sacctmgr -nP show qos format=QOS_FORMAT`, by name.

    >>> qos = parse_qos("normal||||||||\\ndebug|DenyOnLimit|00:10:00|gres/gpu=4|gres/gpu=3|gres/gpu=2|||")["debug"]
    >>> qos.wall_s, qos.per_job, qos.per_user
    (600.0, {'gres/gpu': 4}, {'gres/gpu': 2})
    """
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == QOS_FORMAT.count(",")]
    return {
        name: Limits(f"QOS {name!r}", "OverPartQOS" in flags, _wall_s(wall), *map(_tres, resources))
        for name, flags, wall, *resources in rows
    }


def parse_associations(text: str) -> tuple[Association, ...]:
    """Return the associations of `sacctmgr -nP show assoc format=ASSOCIATION_FORMAT`.

    >>> parse_associations("lab||normal|1-00:00:00|gres/gpu=8||")[0].limits.wall_s
    86400.0
    """
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == ASSOCIATION_FORMAT.count(",")]
    return tuple(
        Association(
            account,
            partition or None,
            default_qos or None,
            Limits(
                f"account {account!r}",
                wins_over_partition=False,
                wall_s=_wall_s(wall),
                per_job=_tres(job),
                per_node=_tres(node),
                per_user={},
                per_account={},
                in_all=_tres(group),
                at_least={},
            ),
        )
        for account, partition, default_qos, wall, job, node, group in rows
    )


def _wall_s(text: str) -> float | None:
    return parse_limit_s(text) or None  # 0 would let no job run: some versions print it for none


def _tres(text: str) -> dict[str, int]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: int(count) for name, _, count in pairs if count.isdecimal()}
