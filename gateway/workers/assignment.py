"""What a supervisor tells a worker it starts: settings of its own, and the address of all."""

from __future__ import annotations

import dataclasses

import msgspec

from gateway.settings.config import Config


class Assignment(msgspec.Struct, frozen=True):
    """A worker's `config`; `host` and `port` are what all workers listen on besides."""

    config: Config
    host: str
    port: int


def assign(config: Config, number: int, *, port: int, own_port: int) -> Assignment:
    """For the worker with that number, from 1 on, given the ports that are bound.

    There are as many data logs as workers at least, so that each has something to do.
    """
    advertised, metrics = config.advertised_port, config.metrics_listen_port
    own = dataclasses.replace(
        config,
        workers_count=1,
        node_id=config.node_id + number - 1,
        listen_port=own_port,
        advertised_port=advertised + number if advertised else advertised,
        metrics_listen_port=metrics + number - 1 if metrics else metrics,
        logs_count=max(config.logs_count, config.workers_count),
    )
    return Assignment(own, config.listen_host, port)
