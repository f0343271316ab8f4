"""When a run ends, and whether it still goes on: pure, from what its loop reports, its estimate and its time limits."""
