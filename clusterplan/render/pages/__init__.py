"""HTML files that stand alone: they ask nothing of a network, and read without a script."""
