"""Why a run waits in Slurm's queue, in words, and a job that is let go where Slurm holds it for no fault of the run."""
