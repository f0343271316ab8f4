"""The step model: the formula of a step time, the beliefs in its parameters, and the fit to a few runs."""
