"""A job in stages, the small ones first, each with a check that it has to pass before the next one runs."""
