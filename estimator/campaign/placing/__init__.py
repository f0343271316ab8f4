"""Jobs put on nodes: what is free on each over time, and lists of jobs that are put there one after another."""
