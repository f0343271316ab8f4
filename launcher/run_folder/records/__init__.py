"""The files of a run folder as values: each is read in one place, bounded, and every value in it is checked."""
