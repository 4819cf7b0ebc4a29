"""A model of quorum mode: see quorum_model.py, rules.py, runs.py."""
