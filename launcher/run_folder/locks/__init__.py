"""Files that only one has at a time: who resumes a run, and which run writes into a folder of checkpoints."""
