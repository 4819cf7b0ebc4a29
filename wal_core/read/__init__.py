"""Reading entries by offset and by time."""
