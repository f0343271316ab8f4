"""Pure functions over frozen values: steps, throughput, wall-clock, advice."""
