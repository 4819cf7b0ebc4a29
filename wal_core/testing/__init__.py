"""Deterministic doubles: virtual time, faulty stores. For tests; never imported at run time."""
