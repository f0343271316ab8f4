"""The settings of frameworks: each module reads one format into a recipe."""
