"""Rounds of random faults under real gateways and clients, with a look after each."""
