"""Try small first: probes that measure a job, and stages that it has to pass."""
