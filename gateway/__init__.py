"""The server that joins protocol and log."""
