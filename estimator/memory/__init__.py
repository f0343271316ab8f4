"""The peak memory of one GPU, and whether a job fits: from measured peaks, otherwise from the parameters."""
