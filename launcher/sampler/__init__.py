"""The sampler: a process beside the command on every node.  It reads the GPUs through NVML into a spool."""
