"""Secrets in what a run keeps: known by the name of a value, by its shape, or by the program that takes it.  Pure."""
