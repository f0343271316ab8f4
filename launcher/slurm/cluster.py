"""A cluster as Slurm describes it."""

from dataclasses import dataclass

from .nodes import NodeFacts, PartitionFacts, SlurmSettings


@dataclass(frozen=True)
class Cluster:
    """The partitions, nodes and settings of one Slurm."""

    partitions: tuple[PartitionFacts, ...]
    nodes: tuple[NodeFacts, ...]
    settings: SlurmSettings

    def nodes_of(self, partition: str) -> tuple[NodeFacts, ...]:
        """Return the nodes of one partition, in any state."""
        return tuple(node for node in self.nodes if partition in node.partitions)

    def partition(self, name: str | None) -> PartitionFacts | None:
        """Return the partition called `name`, or the default one; None if there is none."""
        return next((p for p in self.partitions if (p.name == name if name else p.default)), None)

    def default_walltime_s(self, partition: str | None) -> float | None:
        """Return the limit of a job of `partition`, or of the default one, that asks for no walltime; None if unknown."""
        facts = self.partition(partition)
        return (facts.default_limit_s or facts.limit_s) if facts else None

    def preempts(self, partition: PartitionFacts) -> bool:
        """Return whether a job of `partition` may be preempted."""
        kind, mode = self.settings.preempt_type, partition.preempt_mode
        if kind in ("", "(null)", "preempt/none") or mode == "OFF":
            return False
        if kind != "preempt/partition_prio":
            return True  # by quality of service, which a user may choose
        mine = {node.name for node in self.nodes_of(partition.name)}
        above = [p.name for p in self.partitions if p.priority_tier > partition.priority_tier]
        return any(mine & {node.name for node in self.nodes_of(name)} for name in above)
