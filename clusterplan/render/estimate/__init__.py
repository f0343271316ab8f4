"""An estimate as text and as JSON: the answer, where each number is from, and `--explain`."""
