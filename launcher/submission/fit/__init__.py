"""Whether a request fits the cluster as Slurm describes it: partitions, limits, memory, reservations."""
