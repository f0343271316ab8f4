"""Facts about machines: GPUs, clusters, units.  Reads files, and does nothing else."""
