"""The curve of a training from what it left: a run's folder, a trainer state, a table, or a log."""
