"""The time of one step: given, measured, carried over from other runs, or a prior.  The only room that knows numpy."""
