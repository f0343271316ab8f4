"""A run's folder on shared storage: every fact of the run is a file in it."""
