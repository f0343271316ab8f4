"""When a job would start: the queue as values, planned in order of priority, GPU by GPU, with backfill.  Pure."""
