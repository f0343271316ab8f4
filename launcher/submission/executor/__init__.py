"""What submitit does for us: the batch script of runs and their pickles, and the start of a run on this machine."""
