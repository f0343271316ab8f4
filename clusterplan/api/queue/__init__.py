"""When jobs would start, from the queue as Slurm shows it now."""
