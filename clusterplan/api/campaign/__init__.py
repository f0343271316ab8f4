"""Many jobs on few GPUs: a plan of a campaign, and what to book for it."""
