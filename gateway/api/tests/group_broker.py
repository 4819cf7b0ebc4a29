"""A coordinator behind its handlers, addressed as a client would: by bytes of a version."""

from __future__ import annotations

from types import SimpleNamespace

from gateway.api import API_TABLE
from gateway.groups.tests.harness import FakeJournal, make
from protocol import message_classes
from protocol.primitives import Writer

TOPIC_ID = b"i" * 16
PARTITIONS_COUNT = 4
APIS = {message_classes(key).request: api for key, api in API_TABLE.items()}


def through_codec(message, cls, version):
    out = Writer()
    message.encode(out, version)
    return cls.decode(memoryview(out.to_bytes()), 0, version)[0]


def error_answer(request, code, version):
    """What the API answers when its handler raised, as its client reads it."""
    api = APIS[type(request)]
    return through_codec(api.on_error(request, code), message_classes(api.key).response, version)


async def answer_at_once(*_):
    """There is a place for group records."""


class Broker:
    """One topic, "t"; others have partitions only if they are in `more_topics`."""

    def __init__(self, *, journal: FakeJournal | None = None, more_topics=(), **limits) -> None:
        self.groups = make(journal, **limits)
        known = SimpleNamespace(name="t", id=TOPIC_ID)
        self.topics = {"t": known} | {
            name: SimpleNamespace(name=name, id=name.encode().ljust(16)) for name in more_topics
        }
        broker = SimpleNamespace(
            node=SimpleNamespace(node_id=3, host="gw.example", port=19092),
            partition=lambda topic, index: self.partition(self.topics.get(topic), index),
            partition_by_id=lambda topic_id, index: self.partition(self.with_id(topic_id), index),
            topics=SimpleNamespace(named=self.topics.get, with_id=self.with_id),
            offsets_topic=SimpleNamespace(ready=answer_at_once),
            search=answer_at_once,
        )
        self.services = SimpleNamespace(broker=broker, groups=self)

    def with_id(self, topic_id):
        return next((topic for topic in self.topics.values() if topic.id == topic_id), None)

    @staticmethod
    def partition(topic, index):
        return SimpleNamespace(topic=topic) if topic and index < PARTITIONS_COUNT else None

    # in the place of the coordinators of all logs

    def of(self, group):
        return self.groups

    def is_served(self, group):
        return True

    def __iter__(self):
        return iter([self.groups])

    async def ask(self, request, version, client_id="me"):
        api = APIS[type(request)]
        call = SimpleNamespace(
            version=version,
            header=SimpleNamespace(api_version=version, client_id=client_id),
            client_host="10.0.0.9",
            services=self.services,
            broker=self.services.broker,
        )
        answer = await api.handle(through_codec(request, type(request), version), call)
        return through_codec(answer, message_classes(api.key).response, version)
