"""One question, one answer: steps, wall-clock, memory and advice of a job."""
