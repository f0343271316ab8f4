"""What a QOS or an account lets one job have, as Slurm's accounting says it: frozen values.  `client` asks for them.

A limit holds once: that of the partition's QOS, else of the job's, else of the association of user and account
(https://slurm.schedmd.com/resource_limits.html, hierarchy).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .text import parse_limit_s

QOS_FORMAT = "Name,Flags,MaxWall,MaxTRES,MaxTRESPerNode,MaxTRESPU,MaxTRESPA,GrpTRES,MinTRES"
ASSOCIATION_FORMAT = "Account,Partition,DefaultQOS,MaxWall,MaxTRES,MaxTRESPerNode,GrpTRES"
PARENT_FORMAT = "Account,ParentName,MaxWall,MaxTRES,MaxTRESPerNode,GrpTRES"

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
class Account:
    """An account, whose limits its users and the accounts below it share; `parent` is None for the first."""

    parent: str | None
    limits: Limits


@dataclass(frozen=True)
class Accounting:
    """What accounting knows of this user: the default account, the associations, every QOS, and the accounts above."""

    default_account: str | None
    associations: tuple[Association, ...]
    qos: Mapping[str, Limits]
    accounts: Mapping[str, Account] = field(default_factory=dict)

    def limits_of(
        self, account: str | None, qos: str | None, partition: str | None, partition_qos: str | None
    ) -> tuple[Limits, ...]:
        """Return the limits that hold for a job, the one that wins first.  A None leaves it to the default."""
        mine = [one for one in self.associations if one.account == (account or self.default_account)]
        association = next(
            (one for wanted in (partition, None) for one in mine if one.partition == wanted), None
        )
        of_job = self.qos.get(qos or (association.default_qos if association else None) or "")
        in_order = [self.qos.get(partition_qos or ""), of_job]
        if of_job and of_job.wins_over_partition:
            in_order.reverse()
        own = [association.limits] if association else []
        chain = [*own, *self._limits_above(account or self.default_account)]
        return (*(limits for limits in in_order if limits), *_tightest_group_limits(chain))

    def _limits_above(self, account: str | None) -> Iterator[Limits]:
        """Yield the limits of an account and of those above it."""
        passed = set[str]()
        while account and account not in passed and (found := self.accounts.get(account)):
            passed.add(account)
            yield found.limits
            account = found.parent


def _tightest_group_limits(chain: Sequence[Limits]) -> Iterator[Limits]:
    """Yield the limits of a chain of accounts, where what all jobs together may have counts at each: the least holds."""
    least = {
        resource: min(
            (limits for limits in chain if resource in limits.in_all),
            key=lambda limits: limits.in_all[resource],
        )
        for resource in {name for limits in chain for name in limits.in_all}
    }
    for limits in chain:
        group = {name: count for name, count in limits.in_all.items() if least[name] is limits}
        yield replace(limits, in_all=group)


def parse_qos(text: str) -> dict[str, Limits]:
    """Return every QOS of `sacctmgr -nP show qos format=QOS_FORMAT`, by name.

    >>> qos = parse_qos("normal||||||||\\ndebug|DenyOnLimit|00:10:00|gres/gpu=4|gres/gpu=3|gres/gpu=2|||")["debug"]
    >>> qos.wall_s, qos.per_job, qos.per_user
    (600.0, {'gres/gpu': 4}, {'gres/gpu': 2})
    """
    return {
        name: Limits(f"QOS {name!r}", "OverPartQOS" in flags, _wall_s(wall), *map(_tres, resources))
        for name, flags, wall, *resources in _rows(text, QOS_FORMAT)
    }


def parse_associations(text: str) -> tuple[Association, ...]:
    """Return the associations of `sacctmgr -nP show assoc format=ASSOCIATION_FORMAT`.

    >>> parse_associations("lab||normal|1-00:00:00|gres/gpu=8||")[0].limits.wall_s
    86400.0
    """
    return tuple(
        Association(account, partition or None, default_qos or None, _limits_of_account(account, *limits))
        for account, partition, default_qos, *limits in _rows(text, ASSOCIATION_FORMAT)
    )


def parse_accounts(text: str) -> dict[str, Account]:
    """Return accounts by name, of `sacctmgr -nP show assoc where user= format=PARENT_FORMAT`.

    >>> lab = parse_accounts("lab|physics||||gres/gpu=8")["lab"]
    >>> lab.parent, lab.limits.in_all
    ('physics', {'gres/gpu': 8})
    """
    return {
        account: Account(parent or None, _limits_of_account(account, *limits))
        for account, parent, *limits in _rows(text, PARENT_FORMAT)
    }


def _rows(text: str, columns: str) -> list[list[str]]:
    return [line.split("|") for line in text.splitlines() if line.count("|") == columns.count(",")]


def _limits_of_account(account: str, wall: str, job: str, node: str, group: str) -> Limits:
    return Limits(
        f"account {account!r}",
        wins_over_partition=False,
        wall_s=_wall_s(wall),
        per_job=_tres(job),
        per_node=_tres(node),
        per_user={},
        per_account={},
        in_all=_tres(group),
        at_least={},
    )


def _wall_s(text: str) -> float | None:
    return parse_limit_s(text) or None  # 0 would let no job run: some versions print it for none


def _tres(text: str) -> dict[str, int]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: int(count) for name, _, count in pairs if count.isdecimal()}
