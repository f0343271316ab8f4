"""Plans made better by OR-tools CP-SAT; the only room that imports ortools, which is an extra."""
