"""What makes a run a stage of a job, and the verdict on it."""
