"""The history from Python: open it, read its runs, enter measurements, and look after the file."""
