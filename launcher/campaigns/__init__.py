"""Campaigns that were submitted: their records beside the list of runs, and what became of their jobs."""
