"""Segments whose tail lies on three logstores: who writes them, opens them again, and reads them.

The protocol, and what each rule of it is for: wal_core/testing/quorum_model. What the logstores
do for their part: wal_core/logstore.
"""
