"""What runs on the node: a task shields its command, and decides what follows."""
