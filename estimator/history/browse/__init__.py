"""The history as pages show it: only read, page by page, and summed up."""
