"""Runs looked at again and again while they go on."""
