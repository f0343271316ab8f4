"""Whether a training may stop."""
