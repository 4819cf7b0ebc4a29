"""Segment stores: where the slots of a segment live and what makes them durable."""
