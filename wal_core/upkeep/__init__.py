"""What happens to a log behind the tail: sealing, truncation, garbage."""
