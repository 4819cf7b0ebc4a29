"""The command line: one module per command, and a small blocking Kafka client for them."""
