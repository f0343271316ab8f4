"""The use cases, as Python calls: estimate, submit, show, cancel and collect runs.  The command line calls these.

They take and return values, raise ClusterplanError, and print nothing.
"""
