"""The guard of a training command, on the node: it runs the command, and decides what follows."""
