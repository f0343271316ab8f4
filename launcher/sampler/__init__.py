"""The sampler: a process beside the command on every node, which reads the GPUs through NVML into a spool."""
