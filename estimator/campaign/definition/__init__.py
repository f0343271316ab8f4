"""A campaign as people write it: its file, its windows, and the shapes that its jobs may have."""
