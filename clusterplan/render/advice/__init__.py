"""May a training stop: the advice as text and JSON."""
