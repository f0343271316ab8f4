"""A job that nobody has measured, measured cheaply: which probes to run, where, and until when."""
