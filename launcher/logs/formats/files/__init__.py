"""Logs that are files: which kind one is, and its records."""
