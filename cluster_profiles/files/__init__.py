"""Files that somebody else wrote: opened without waiting, read up to a size, and TOML held against models."""
