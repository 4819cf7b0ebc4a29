"""Input nobody should send."""
