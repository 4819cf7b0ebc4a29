"""Simulated producers: plain ones, which never repeat, and idempotent ones, which always do."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.testing.sim.client import Client, Disconnected
from gateway.testing.sim.history import Partition, Send
from gateway.testing.sim.network import Link
from protocol import ApiKey, Record, build_batch
from protocol.messages.init_producer_id import InitProducerIdRequest
from protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    TopicProduceData,
)

if TYPE_CHECKING:
    from gateway.testing.sim.world import World

REPEATED_SHARE = 0.08
"""Of an idempotent producer's acknowledged requests: sent again as if the answer were lost."""
PATIENCE_S = 1.0  # beyond the request's own timeout


@dataclass(frozen=True, slots=True)
class ProducerSpec:
    """What one producer is going to do."""

    name: str
    partitions: tuple[Partition, ...]
    requests_count: int
    idempotent: bool
    in_flight_max_count: int
    acks: int
    gap_s: float
    timeout_ms: int
    value_bytes_max: int


class _Request(NamedTuple):
    """Batches that travel together; a repetition sends the same bytes."""

    sends: list[Send]
    batches: list[bytes]
    timeout_ms: int

    def body(self, acks: int) -> ProduceRequest:
        topics: dict[str, list[PartitionProduceData]] = {}
        for send, batch in zip(self.sends, self.batches, strict=True):
            topic, index = send.partition
            topics.setdefault(topic, []).append(PartitionProduceData(index=index, records=batch))
        return ProduceRequest(
            acks=acks,
            timeout_ms=self.timeout_ms,
            topic_data=[TopicProduceData(name=n, partition_data=p) for n, p in topics.items()],
        )


class Producer(Client):
    """Sends all it has to, then returns. Plain: what is not answered stays unknown for ever."""

    def __init__(self, world: World, spec: ProducerSpec) -> None:
        super().__init__(world, spec.name)
        self.spec = spec
        self._producer_id = self._epoch = -1
        self._sequences: dict[Partition, int] = {}
        self._acked: set[Partition] = set()  # asked for membership only
        self._made_count = 0
        self._values_count = 0
        self._unacked: deque[_Request] = deque()
        self._next_s = 0.0

    async def run(self) -> None:
        if self.spec.idempotent:
            await self._get_id()
        while self._unacked or self._has_more:
            self.home = self.spec.partitions[0]  # where several may lead, it has but one
            link = await self.connected()
            await self._session(link)
            if self._unacked or self._has_more:
                self.hang_up()
                if not self.spec.idempotent:
                    self._give_up()
                await self.pause()
        self.note("is done")

    @property
    def _has_more(self) -> bool:
        return self._made_count < self.spec.requests_count and not self.world.winding_down

    async def _get_id(self) -> None:
        while True:
            try:
                reply = await self.call(ApiKey.INIT_PRODUCER_ID, 4, InitProducerIdRequest())
            except Disconnected:
                continue
            if self.check_code(reply.error_code, "InitProducerId"):
                self._producer_id, self._epoch = reply.producer_id, reply.producer_epoch
                self.world.producer_id_given(self.name, reply.producer_id)
                return
            await self.pause()

    async def _session(self, link: Link) -> None:
        """Send over one connection until all is done or something fails."""
        loop = asyncio.get_running_loop()
        pending: deque[tuple[_Request, asyncio.Future[Any], float, bool]] = deque()

        def send(request: _Request, *, repeated: bool = False) -> None:
            acks = self.spec.acks
            deadline_s = loop.time() + request.timeout_ms / 1_000 + PATIENCE_S
            reply = self.post(link, ApiKey.PRODUCE, 9, request.body(acks))
            if acks == 0:
                reply.set_result(None)
            pending.append((request, reply, deadline_s, repeated))

        for request in self._unacked:
            send(request)
        while pending or self._has_more:
            now_s = loop.time()
            room = self._has_more and len(pending) < self.spec.in_flight_max_count and self._free()
            if room and now_s >= self._next_s:
                request = self._next_request()
                self._unacked.append(request)
                send(request)
                self._next_s = now_s + self.rng.expovariate(1 / self.spec.gap_s)
                continue
            until_s = self._next_s if room else now_s + 3_600
            waits: list[asyncio.Future[Any]] = [link.lost]
            if pending:
                waits.append(pending[0][1])
                until_s = min(until_s, pending[0][2])
            await asyncio.wait(
                waits, timeout=max(until_s - now_s, 0.0), return_when=asyncio.FIRST_COMPLETED
            )
            if pending and pending[0][1].done():
                request, reply, _, repeated = pending.popleft()
                if not self._answered(request, reply.result()):
                    return
                # Once: a second time it might be older than the last five, which nobody keeps.
                if self.spec.idempotent and not repeated and self.rng.random() < REPEATED_SHARE:
                    send(request, repeated=True)
            elif link.lost.done():
                self.note("lost its connection")
                return
            elif pending and loop.time() >= pending[0][2]:
                self.note("gives up waiting")
                return

    def _free(self) -> list[Partition]:
        """Where to it may send. Brokers take any sequence from an idempotent producer they do not
        know (KIP-360): were its first batch refused for want of room, and the second one not, the
        first could never come. So it waits for that.
        """
        return [
            where
            for where in self.spec.partitions
            if where in self._acked or not self._sequences.get(where)
        ]

    def _next_request(self) -> _Request:
        """New records for one partition or several."""
        self._made_count += 1
        free = self._free()
        count = self.rng.choice((1, 1, 1, 2, len(free)))
        chosen = self.rng.sample(free, min(count, len(free)))
        sends, batches = [], []
        for partition in chosen:
            values = [self._next_value() for _ in range(self.rng.choice((1, 1, 2, 5)))]
            send = Send(
                self.name,
                partition,
                values,
                asyncio.get_running_loop().time(),
            )
            self.world.history.sends.append(send)
            sends.append(send)
            batches.append(self._batch(partition, values))
        self.note(f"sends {_told(sends)}")
        return _Request(sends, batches, self.spec.timeout_ms)

    def _next_value(self) -> bytes:
        self._values_count += 1
        value = b"%s-%d." % (self.name.encode(), self._values_count)
        return value.ljust(self.rng.randrange(1, self.spec.value_bytes_max), b"x")

    def _batch(self, partition: Partition, values: list[bytes]) -> bytes:
        now_ms = self.world.client_now_ms()
        records = [Record(value=value, timestamp_ms=now_ms) for value in values]
        if not self.spec.idempotent:
            return bytes(build_batch(records))
        sequence = self._sequences.get(partition, 0)
        self._sequences[partition] = sequence + len(values)
        return bytes(
            build_batch(
                records,
                producer_id=self._producer_id,
                producer_epoch=self._epoch,
                base_sequence=sequence,
            )
        )

    def _answered(self, request: _Request, reply: Any) -> bool:
        """False when something of it was refused."""
        is_repetition = not self._unacked or self._unacked[0] is not request
        if not is_repetition:
            self._unacked.popleft()
        answers = {
            (topic.name, answer.index): answer
            for topic in (reply.responses if reply is not None else ())
            for answer in topic.partition_responses
        }
        good = True
        for send in request.sends:
            answer = answers.get(send.partition)
            if answer is None:  # acks 0
                send.status = "info"
                continue
            doing = f"Produce to {send.partition}"
            if not self.check_code(answer.error_code, doing, send.partition):
                good = False
                continue
            self._acknowledged(send, answer.base_offset)
        if not good:
            told = [a.error_code for a in answers.values()]
            self.note(f"is refused {_told(request.sends)}: {told}")
            if not is_repetition:
                self._unacked.appendleft(request)
        return good

    def _acknowledged(self, send: Send, base_offset: int) -> None:
        if send.status == "ok":
            if send.base_offset != base_offset:
                self.world.trace.violation(
                    "a repeated batch has its first offset",
                    f"{send.partition} {send.values[0][:20]!r} was at {send.base_offset}, "
                    f"now at {base_offset}",
                )
            return
        send.status, send.base_offset = "ok", base_offset
        self._acked.add(send.partition)
        send.completed_s = asyncio.get_running_loop().time()
        self.note(f"is told {_told([send])} is at {base_offset}")

    def _give_up(self) -> None:
        """A plain producer repeats nothing: what was not answered stays unknown."""
        for request in self._unacked:
            for send in request.sends:
                if send.status == "open":
                    send.status = "info"
        self._unacked.clear()


def _told(sends: list[Send]) -> str:
    return ", ".join(
        f"{send.partition[0]}-{send.partition[1]}:{send.values[0].split(b'.')[0].decode()}"
        f"+{len(send.values)}"
        for send in sends
    )
