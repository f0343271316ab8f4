"""How far a run is and when it ends: its loop's lines beside its estimate, its starts and its time limits."""
