"""An ended run taken up again: what it was, what is changed, and its files for the next job."""
