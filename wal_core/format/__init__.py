"""Bytes and what they say: blocks, footers, indexes, chains, and where they are. No I/O."""
