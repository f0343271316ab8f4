"""The energy, the money and the CO2 of runs and of estimates, at the user's own rates.  Pure."""
