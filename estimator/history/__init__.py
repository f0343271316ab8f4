"""The history: one SQLite file of everything measured.  The only effect in `estimator`."""
