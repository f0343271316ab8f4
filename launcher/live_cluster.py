"""The cluster that this machine submits to, as Slurm describes it now."""

from . import slurm
from .discovery import Cluster


def live_cluster() -> Cluster:
    """Its partitions, nodes and settings, by three questions.  Raises SlurmUnavailable."""
    return Cluster(tuple(slurm.partitions()), tuple(slurm.nodes()), slurm.settings())
