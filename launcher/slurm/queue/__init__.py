"""The whole queue, asked for once: nodes with what is free, and the running and pending jobs of everyone."""
