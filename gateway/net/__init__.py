"""Connections: frames in, requests in order, replies out, all within bounds."""
