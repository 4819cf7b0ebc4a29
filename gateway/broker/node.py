"""This gateway as clients see it."""

from __future__ import annotations

from typing import NamedTuple


class Node(NamedTuple):
    """Its id and the advertised address."""

    node_id: int
    host: str
    port: int
