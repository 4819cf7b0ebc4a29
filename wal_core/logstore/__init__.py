"""A logstore: one of three that keep the tail of a log in quorum mode. Not part of the server yet.

What it must do, and why, is explored in wal_core/testing/quorum_model. Bytes: FORMAT.md.
"""
