"""One table of settings, their values, and where they are read from."""
