"""Which nodes there are, and which of them should own which log."""
