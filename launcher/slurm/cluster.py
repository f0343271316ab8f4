"""A cluster as Slurm describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .nodes import NodeFacts, PartitionFacts, SlurmSettings

if TYPE_CHECKING:  # most sites have none
    from ...estimator.queue.state import Reservation
    from .limits import Accounting, Limits


def partition_names(partitions: str | None) -> tuple[str | None, ...]:
    """Return the partitions of a request, one by one; None stands for the default one.

    >>> partition_names("gpu,debug"), partition_names(None)
    (('gpu', 'debug'), (None,))
    """
    return tuple(partitions.split(",")) if partitions else (None,)


@dataclass(frozen=True)
class Cluster:
    """The partitions, nodes and settings of one Slurm, and its reservations, at the Unix time `now_s`.

    `accounting` has its limits of users, if they are enforced.
    """

    partitions: tuple[PartitionFacts, ...]
    nodes: tuple[NodeFacts, ...]
    settings: SlurmSettings
    accounting: "Accounting | None" = None
    reservations: tuple["Reservation", ...] = ()
    now_s: float = 0.0

    def nodes_of(self, partition: str) -> tuple[NodeFacts, ...]:
        """Return the nodes of one partition, in any state."""
        return tuple(node for node in self.nodes if partition in node.partitions)

    def partition(self, name: str | None) -> PartitionFacts | None:
        """Return the partition called `name`, or the default one; None if there is none."""
        return next((p for p in self.partitions if (p.name == name if name else p.default)), None)

    def default_walltime_s(self, partitions: str | None) -> float | None:
        """Return the limit of a job that asks for no walltime; None if unknown.

        `partitions` are names with commas between, or None for the default one; the strictest limit holds.
        """
        facts = [self.partition(name) for name in partition_names(partitions)]
        limits = [one.default_limit_s or one.limit_s for one in facts if one]
        return min((limit for limit in limits if limit), default=None)

    def longest_walltime_s(self, partitions: str | None, options: Mapping[str, object]) -> float | None:
        """Return the longest limit that a job with these options may ask for in each of these partitions; None if there is none."""
        facts = [one for name in partition_names(partitions) if (one := self.partition(name))]
        limits = [limits.wall_s for one in facts if (limits := self.wall_limit(one.name, options))]
        return min((limit for limit in (*limits, *(one.limit_s for one in facts)) if limit), default=None)

    def wall_limit(self, partition: str, options: Mapping[str, object]) -> "Limits | None":
        """Return the limits of the QOS or the account that set how long a job with these options of sbatch may run."""
        if self.accounting is None:
            return None
        facts = self.partition(partition)
        account, qos = (str(options[name]) if name in options else None for name in ("account", "qos"))
        levels = self.accounting.limits_of(account, qos, partition, facts.qos if facts else None)
        return next((limits for limits in levels if limits.wall_s), None)

    def preempts(self, partition: PartitionFacts) -> bool:
        """Return whether a job of `partition` may be preempted."""
        kind, mode = self.settings.preempt_type, partition.preempt_mode
        if kind in ("", "(null)", "preempt/none") or mode == "OFF":
            return False
        if not self.yields_to_tiers(partition):
            return True  # by quality of service, which a user may choose
        mine = {node.name for node in self.nodes_of(partition.name)}
        above = [p.name for p in self.partitions if p.priority_tier > partition.priority_tier]
        return any(mine & {node.name for node in self.nodes_of(name)} for name in above)

    def yields_to_tiers(self, partition: PartitionFacts) -> bool:
        """Return whether any partition of a higher tier that shares its nodes preempts the jobs of `partition`."""
        return self.settings.preempt_type == "preempt/partition_prio" and partition.preempt_mode != "OFF"
