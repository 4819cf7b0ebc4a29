"""A logstore in this process: what settings say of it, its place among the living, its counts."""
