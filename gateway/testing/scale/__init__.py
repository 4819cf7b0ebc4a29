"""What much state costs; see `__main__`."""
