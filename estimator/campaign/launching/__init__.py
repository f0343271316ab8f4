"""A plan turned into jobs of a queue: who waits for whom, what became of each job, and what has to be changed.  Pure."""
