"""What a run's GPUs did over time, in equal parts of it, and where in it a note belongs."""
