"""What probes and stages of a job showed, as text and JSON."""
