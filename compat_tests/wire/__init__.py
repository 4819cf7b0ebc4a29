"""What a client library would hide: single frames, byte for byte."""
