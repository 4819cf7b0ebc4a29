"""One broker under a script: it is asked, and what it answers is noted."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID

from kafka.protocol.api_message import ApiMessage

from compat_tests.oracle.messages import build, kinds
from compat_tests.oracle.observed import Names, observed
from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import build as build_batch
from compat_tests.wire.connection import Connection

CLOSED = "(connection closed)"
REBALANCE_IN_PROGRESS = 27
TOPIC_RESOURCE = 2
REPLY_TIMEOUT_S = 30.0
Sent = set[tuple[int, int]]
CLIENT_ID = b"oracle"
NOTHING_ASKED = 0  # a correlation id
REPLY_HEADER_BYTES = 5  # its correlation id, and no tags


class Side:
    """What a script sees. Names of topics and groups are the same on both sides."""

    def __init__(self, bootstrap: str, title: str, versions: Mapping[int, Sequence[int]]) -> None:
        """`versions` are those of each API key that both sides serve."""
        self.bootstrap = bootstrap
        self.versions = versions
        self.seen: dict[str, Any] = {}
        """What was observed, by step."""
        self.sent: Sent = set()
        """(API key, version) of all that was answered."""
        self.names = Names()
        self._slug = "".join(c if c.isalnum() else "-" for c in title)[:100]
        self._numbers = count(1)
        self._steps = count(1)
        self._connections: dict[str, Connection] = {}
        self._marker = ""
        self._waiting: dict[str, list[tuple[str, str, int]]] = {}

    # Asking

    def ask(self, api: str, version: int, *, on: str = "main", **fields: Any) -> Any:
        """The reply, which is noted too; None if the broker closed the connection instead."""
        self.send(api, version, on=on, **fields)
        return self.receive(on)

    def send(self, api: str, version: int, *, on: str = "main", **fields: Any) -> None:
        """Without waiting for the reply, which `receive` takes."""
        step = f"{next(self._steps)} {api} v{version}"
        self._waiting.setdefault(on, []).append((step, api, version))
        try:
            self._connection(on).send(build(api, fields), version, client_id="oracle")
        except ConnectionError:
            pass  # told by the reply

    def ask_encoded(self, key: int, version: int, body: bytes) -> bytes | None:
        """Of an API that kafka-python does not know: what follows the header of the reply, None if
        the broker closed. Not noted. Both headers are those of flexible versions.
        """
        header = struct.pack(">hhih", key, version, NOTHING_ASKED, len(CLIENT_ID))
        frame = self.send_raw(header + CLIENT_ID + b"\0" + body)
        if frame is None:
            return None
        self.sent.add((key, version))
        return frame[REPLY_HEADER_BYTES:]

    def send_unanswered(self, api: str, version: int, **fields: Any) -> None:
        """What gets no reply even if all is well (Produce with acks 0)."""
        self._connection("main").send(build(api, fields), version, client_id="oracle")

    def receive(self, on: str = "main") -> Any:
        """The next reply on this connection."""
        step, api, version = self._waiting[on].pop(0)
        reply = self._receive(on)
        if reply is None:
            self.seen[step] = CLOSED
            return None
        self.sent.add((kinds()[api].API_KEY, version))
        self._leave_out_others(reply)
        self.seen[step] = observed(reply.to_dict(json=False), self.names)
        return reply

    def _leave_out_others(self, reply: Any) -> None:
        """Others have made groups, topics and transactions too, not the same on both sides."""
        if reply.name == "ListGroupsResponse":
            reply.groups = [row for row in reply.groups if row.group_id.startswith(self._slug)]
        if reply.name == "ListTransactionsResponse":
            reply.transaction_states = [
                row
                for row in reply.transaction_states
                if row.transactional_id.startswith(self._slug)
            ]
        if reply.name == "AlterClientQuotasResponse":
            for entry in reply.entries:
                entry.entity.sort(key=lambda each: each.entity_type)
        if reply.name == "DescribeClientQuotasResponse":
            reply.entries = reply.entries and self._quotas(reply.entries)
        if reply.name == "ListConfigResourcesResponse":
            reply.config_resources = [
                row
                for row in reply.config_resources
                if row.resource_type != TOPIC_RESOURCE or row.resource_name.startswith(self._slug)
            ]

    def _quotas(self, entries: list[Any]) -> list[Any]:
        """Of this script's clients, and defaults; in one order, theirs is nobody's."""
        found = {}
        for entry in entries:
            entry.entity.sort(key=lambda each: each.entity_type)
            names = [(each.entity_type, each.entity_name or "") for each in entry.entity]
            if all(not name or name.startswith(self._slug) for _, name in names):
                found[tuple(names)] = entry
        return [found[names] for names in sorted(found)]

    def _receive(self, on: str) -> ApiMessage | None:
        try:
            _, reply = self._connection(on).receive()
        except ConnectionError:
            self.hang_up(on)
            return None
        message: ApiMessage = reply
        return message

    def send_raw(self, frame: bytes, *, on: str = "main") -> bytes | None:
        """A frame as it is; its reply's bytes, or None if the broker closed. Not noted."""
        return self.send_bytes(struct.pack(">i", len(frame)) + frame, on=on)

    def send_bytes(self, data: bytes, *, on: str = "main") -> bytes | None:
        """The same with whatever stands where the length of a frame does."""
        connection = self._connection(on)
        try:
            connection.send_raw(data)
            return connection.receive_frame()
        except ConnectionError:
            self.hang_up(on)
            return None

    def quietly(self, api: str, version: int, **fields: Any) -> Any:
        """The reply to what only prepares a script; nothing is noted."""
        return self._connection("aside").call(build(api, fields), version)

    def note(self, name: str, value: Any) -> None:
        """Something else to compare."""
        self.seen[f"{next(self._steps)} {name}"] = observed(value, self.names, name)

    def _connection(self, on: str) -> Connection:
        if on not in self._connections:
            self._connections[on] = Connection(self.bootstrap, timeout_s=REPLY_TIMEOUT_S)
        return self._connections[on]

    def hang_up(self, on: str = "main") -> None:
        """Close one of the connections; the next request opens another."""
        if on in self._connections:
            self._connections.pop(on).close()

    def close(self) -> None:
        for on in list(self._connections):
            self.hang_up(on)

    # What scripts begin with

    def new_name(self) -> str:
        """For a topic or a group that does not exist."""
        return f"{self._slug}-{next(self._numbers)}"

    def topic(self, partitions: int = 1, **configs: str) -> str:
        """A new topic that can be used; settings with an underscore for each dot."""
        name = self.new_name()
        self.make_topic(name, partitions, **configs)
        return name

    def make_topic(self, name: str, partitions: int = 1, **configs: str) -> None:
        """The same under a given name."""
        given = [{"name": n.replace("_", "."), "value": v} for n, v in configs.items()]
        row = {"name": name, "num_partitions": partitions, "replication_factor": 1}
        reply = self.quietly(
            "CreateTopics", 5, topics=[{**row, "configs": given}], timeout_ms=10_000
        )
        assert reply.topics[0].error_code == 0, reply
        wait_until(lambda: self._usable(name, partitions), what=f"topic {name}")

    def _usable(self, name: str, partitions: int) -> bool:
        asked = [{"partition_index": n, "timestamp": -1} for n in range(partitions)]
        reply = self.quietly(
            "ListOffsets", 5, replica_id=-1, topics=[{"name": name, "partitions": asked}]
        )
        return all(row.error_code == 0 for row in reply.topics[0].partitions)

    def topic_id(self, name: str) -> UUID:
        reply = self.quietly("Metadata", 12, topics=[{"name": name}])
        found: UUID = reply.topics[0].topic_id
        return found

    def fill(self, topic: str, *batches: bytes, partition: int = 0) -> None:
        """Produce these, or one batch of three records."""
        for records in batches or [build_batch([b"a", b"b", b"c"])]:
            part = {"index": partition, "records": records}
            reply = self.quietly(
                "Produce",
                8,
                acks=-1,
                timeout_ms=10_000,
                topic_data=[{"name": topic, "partition_data": [part]}],
            )
            assert reply.responses[0].partition_responses[0].error_code == 0, reply

    def settle(self) -> None:
        """Wait until settings changed before are told: a broker of Kafka hears of them in order,
        but later, so that one more that is heard of says that all are."""
        self._marker = self._marker or self.topic()
        value = str(next(self._steps) * 1_000)
        config = {"name": "retention.ms", "config_operation": 0, "value": value}
        row = {"resource_type": 2, "resource_name": self._marker}
        self.quietly("IncrementalAlterConfigs", 1, resources=[{**row, "configs": [config]}])
        asked = {**row, "configuration_keys": ["retention.ms"]}

        def told() -> bool:
            reply = self.quietly("DescribeConfigs", 4, resources=[asked])
            return bool(reply.results[0].configs[0].value == value)

        wait_until(told, what="settings that are told")

    def commit(self, group: str, topic: str, offset: int, metadata: str = "kept") -> None:
        """As one who is no member; waits for the group's coordinator."""
        part = {"partition_index": 0, "committed_offset": offset, "committed_metadata": metadata}
        fields = {"group_id": group, "topics": [{"name": topic, "partitions": [part]}]}
        wait_until(lambda: self._commits(group, fields), what=f"a coordinator for {group}")

    def _commits(self, group: str, fields: dict[str, Any]) -> bool:
        found = self.quietly("FindCoordinator", 2, key=group, key_type=0)
        if found.error_code != 0:
            return False
        reply = self.quietly("OffsetCommit", 2, **fields)
        return bool(reply.topics[0].partitions[0].error_code == 0)

    def until_rebalancing(self, group: str, member_id: str, generation: int) -> None:
        """Wait until this member would be told to join again."""
        fields = {"group_id": group, "member_id": member_id, "generation_id": generation}
        wait_until(
            lambda: self.quietly("Heartbeat", 3, **fields).error_code == REBALANCE_IN_PROGRESS,
            what="a rebalance",
        )

    def served(self, api: str, first: int = 0) -> list[int]:
        """Versions of an API that both sides serve and the codec of this suite knows."""
        kind = kinds()[api]
        known = range(first, kind.max_version + 1)
        return [version for version in self.versions.get(kind.API_KEY, []) if version in known]
