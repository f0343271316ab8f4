"""The line of a script that starts the training: how it is found, what it states, and the `[run]` that it becomes."""
