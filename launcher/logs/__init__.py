"""What a failed command printed: the line that says why, and the rank that failed first."""
