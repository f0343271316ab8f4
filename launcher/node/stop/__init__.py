"""Why a task stops: the signals it gets, and what Slurm says of its job."""
