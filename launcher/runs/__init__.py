"""Runs afterwards, from anywhere: their state, their measurement, and their way into the history."""
