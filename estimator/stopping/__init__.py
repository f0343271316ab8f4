"""May a training stop now: rules on its losses, learning rates and validations.  Pure; needs the standard library alone."""
