"""What tests the gateway as a whole. Never imported at run time, not in the wheel."""
