"""Crashes under load."""
