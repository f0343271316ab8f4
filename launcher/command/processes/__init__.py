"""The program behind a command's shells and wrappers, and the processes it would start on how many nodes.  Pure."""
