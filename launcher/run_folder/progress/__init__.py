"""How far a run's training loop is: the lines of progress.jsonl, the best of their sources, and what follows from them."""
