"""Which partitions of a topic are served here: those whose logs this process has."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.observe.logger import log_event

if TYPE_CHECKING:
    from gateway.broker.log_set import LogSet
    from gateway.broker.partition import Partition
    from gateway.broker.topics import Topic

logger = logging.getLogger(__name__)


def attach(topic: Topic, logs: LogSet) -> list[Partition]:
    """Serve those of its partitions whose logs are here; returns the ones that were not served
    before."""
    new = [partition for partition in topic.placed if not partition.is_served]
    for partition in new:
        owned = logs.get(partition.log_id)
        if owned is None or not owned.may_serve(partition) or partition.attach(owned):
            continue
        # Before that, what is known may be what this node wrote and somebody else's took its place.
        if owned.has_read_catalog:
            log_event(
                logger,
                logging.ERROR,
                "a stream is another topic's: the partition is not served",
                topic=topic.name,
                partition=partition.index,
                log=partition.log_id,
                stream=partition.stream_id,
            )
    return [partition for partition in new if partition.is_served]
