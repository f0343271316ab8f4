"""Runs as text and as JSON: their state, how they ended and go on, and the report on their GPUs."""
