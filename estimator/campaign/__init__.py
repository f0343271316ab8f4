"""Many jobs, few GPUs, a date: which job gets which shape, and when.  Pure."""
