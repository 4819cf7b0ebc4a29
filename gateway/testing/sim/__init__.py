"""The simulation: whole gateways, their clients and their storage in virtual time, from one seed.

`python -m gateway.testing.sim.sim --help`.
"""
