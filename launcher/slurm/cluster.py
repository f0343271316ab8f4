"""A cluster as Slurm describes it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .nodes import NodeFacts, PartitionFacts, SlurmSettings

if TYPE_CHECKING:  # most sites enforce none
    from .limits import Accounting


def partition_names(partitions: str | None) -> tuple[str | None, ...]:
    """Return the partitions of a request, one by one; None stands for the default one.

    >>> partition_names("gpu,debug"), partition_names(None)
    (('gpu', 'debug'), (None,))
    """
    return tuple(partitions.split(",")) if partitions else (None,)


@dataclass(frozen=True)
class Cluster:
    """The partitions, nodes and settings of one Slurm; `accounting` has its limits of users, if they are enforced."""

    partitions: tuple[PartitionFacts, ...]
    nodes: tuple[NodeFacts, ...]
    settings: SlurmSettings
    accounting: "Accounting | None" = None

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

    def longest_walltime_s(self, partitions: str | None) -> float | None:
        """Return the longest limit that a job may ask for in each of these partitions; None if there is none."""
        facts = [self.partition(name) for name in partition_names(partitions)]
        return min((one.limit_s for one in facts if one and one.limit_s), default=None)

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
