"""The use cases as Python calls: estimate, submit, sample, show, cancel, collect and report.  The command line calls them.

They take and return values, raise ClusterplanError, and print nothing.
"""
