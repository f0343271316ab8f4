"""What one run took: as its training loop reported it, or as a person entered it."""
