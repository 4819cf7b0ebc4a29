"""Where every consumer stands: cuts what it reads into readings, at each change of position."""

from collections.abc import Mapping

from gateway.verify.lines import Process
from gateway.verify.model import History, KeyHistory, Op, Reading


class _Consumer:
    __slots__ = ("continuous", "last_poll", "readings")

    def __init__(self) -> None:
        # Until an assign or subscribe is seen, anybody may share the keys.
        self.continuous = False
        self.readings: dict[str, Reading] = {}
        self.last_poll: Op | None = None


class Consumers:
    """The consumers of a history, by process."""

    def __init__(self) -> None:
        self._all: dict[Process, _Consumer] = {}

    def reading(self, op: Op, key: KeyHistory) -> Reading:
        """Where the records go that `op` polled from `key`."""
        consumer = self._consumer(op.process)
        found = consumer.readings.get(key.name)
        return self._open(consumer, op, key, None) if found is None else found

    def polled(self, op: Op) -> None:
        """A poll ended well, with or without records (which are in the readings already)."""
        consumer = self._consumer(op.process)
        consumer.last_poll = op
        if op.how.final:
            for reading in consumer.readings.values():
                if reading.final_at is None:
                    at = len(reading.ops)
                    while at and reading.ops[at - 1] is op:
                        at -= 1
                    reading.final_at = at

    def positioned(self, op: Op, positions: Mapping[str, int | None], history: History) -> None:
        """An assign or seek ended. Assigned keys without an offset go on where they were."""
        consumer = self._consumer(op.process)
        if op.outcome != "ok":
            self.lost(op)
            consumer.continuous = False
            return
        if op.how.f == "assign":
            consumer.continuous = True
            for name in [name for name in consumer.readings if name not in positions]:
                self._close(consumer, name)
        for name, offset in positions.items():
            if offset is None and op.how.f == "assign" and name in consumer.readings:
                continue
            self._close(consumer, name)
            self._open(consumer, op, history.key(name), offset)

    def subscribed(self, op: Op) -> None:
        """From now on the group decides; the recorder may promise to tell every rebalance."""
        self.lost(op)
        self._consumer(op.process).continuous = op.how.rebalances and op.outcome == "ok"

    def lost(self, op: Op) -> None:
        """A crash or a rebalance: all positions are open again."""
        consumer = self._consumer(op.process)
        for name in list(consumer.readings):
            self._close(consumer, name)

    def close_all(self) -> None:
        """The history ends."""
        for consumer in self._all.values():
            for name in list(consumer.readings):
                self._close(consumer, name)

    def _consumer(self, process: Process) -> _Consumer:
        found = self._all.get(process)
        if found is None:
            found = self._all[process] = _Consumer()
        return found

    def _open(self, consumer: _Consumer, op: Op, key: KeyHistory, start: int | None) -> Reading:
        reading = Reading(op.process, start, op.end_ms, continuous=consumer.continuous)
        consumer.readings[key.name] = reading
        key.readings.append(reading)
        return reading

    def _close(self, consumer: _Consumer, name: str) -> None:
        reading = consumer.readings.pop(name, None)
        if reading is not None:
            reading.last_poll = consumer.last_poll
