"""What a run's GPUs did: readings folded into rollups, notes and the report."""
