"""What the history keeps of a run beside its readings and steps: its estimate, its attempts, its software."""
