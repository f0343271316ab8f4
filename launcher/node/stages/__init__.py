"""A stage on its node: it waits for the one before, and its check decides with which code it ends."""
