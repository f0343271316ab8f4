"""Whose a run is: the files that may be run for it, the folders on the way to them, its process."""
