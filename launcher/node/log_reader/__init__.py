"""What a command prints, read as it arrives by a process beside it, into the lines of a training loop."""
