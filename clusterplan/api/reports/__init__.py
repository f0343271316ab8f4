"""The report of a run as a page, and the runs of a sweep side by side."""
