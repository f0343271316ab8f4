"""What is asked of the cluster, and what happens on it."""
