"""A model of the log: see log_model.py, rules.py, runs.py."""
