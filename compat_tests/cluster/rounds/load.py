"""Clients that never stop: they produce, consume in groups and commit; topics go and come.

Topics that are `STEADY` are judged as one long history. Those of `COMING` are deleted and made
again all the time under the same clients: each time is a generation, whose records are its own.
"""

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.chaos.load import Place, Producer, Worker, key_of, name_of
from compat_tests.chaos.recorder import Recorder
from compat_tests.cluster.rounds.positions import Committed, Positions
from compat_tests.cluster.rounds.system import System
from compat_tests.cluster.rounds.truth import Truth
from compat_tests.support.client import Ack, Client, ClientError, Consumer
from compat_tests.support.deadline import Deadline, now_s, pause, seeded

STEADY = {"steady-0": 19, "steady-1": 19, "steady-2": 19, "steady-3": 19}
COMING = {"coming-0": 6, "coming-1": 6, "coming-2": 6, "coming-3": 6}
STEADY_PLACES = [(topic, index) for topic, count in STEADY.items() for index in range(count)]
COMING_PLACES = [(topic, index) for topic, count in COMING.items() for index in range(count)]
SHARED = "shared"
"""The group in which a member of each library is."""
CHUNK_RECORDS_COUNT = 20
CHUNKS_PER_S_MAX = 1.5
POLL_RECORDS_COUNT = 400
POLL_S = 0.25
COMMIT_INTERVAL_S = 0.7
CHANGE_INTERVAL_S = 2.5
SUBSCRIBED = "coming-0"
"""Of the topics that go and come the one that groups hear of, and the seldomest: a group in which
somebody joins again all the time does nothing else."""
SUBSCRIBED_SHARE = 0.08
CHANGE_TIMEOUT_S = 10.0
KNOWN_TIMEOUT_S = 2.0
COMMITTED_TIMEOUT_S = 30.0
# Clients that give up a request early and come back soon; all else is what they have by default.
SETTINGS: dict[str, dict[str, Any]] = {
    "librdkafka": {"socket.timeout.ms": 10_000, "reconnect.backoff.max.ms": 1_000},
    "java": {
        "request.timeout.ms": 10_000,
        "reconnect.backoff.max.ms": 1_000,
        "default.api.timeout.ms": 20_000,
    },
    "aiokafka": {"request_timeout_ms": 20_000},
}
PRODUCES: dict[str, dict[str, Any]] = {
    "librdkafka": {"request.timeout.ms": 8_000},
    "java": {"delivery.timeout.ms": 80_000},
    "aiokafka": {},
}
CONSUMES: dict[str, dict[str, Any]] = {
    "librdkafka": {"session.timeout.ms": 10_000},
    "java": {"session.timeout.ms": 10_000},
    "aiokafka": {"session_timeout_ms": 10_000},
}
FRESH: dict[str, dict[str, Any]] = {
    "librdkafka": {"topic.metadata.refresh.interval.ms": 2_000},
    "java": {"metadata.max.age.ms": 2_000},
    "aiokafka": {"metadata_max_age_ms": 2_000},
}
"""Whoever subscribes to what goes and comes should hear of it."""


class Told:
    """Errors that an application would see, by client and what they are called."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, who: str, error: ClientError) -> None:
        with self._lock:
            self.counts[f"{who}: {error.name} ({error.code})"] += 1


class Writer(Producer):
    """Tells the judges what was acknowledged."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        truth: Truth,
        generations: "Generations",
        told: Told,
    ) -> None:
        library = client.library
        super().__init__(
            client,
            recorder,
            library.name,
            idempotent=True,
            extra={**SETTINGS[library.family], **PRODUCES[library.family], **_acks(library.family)},
            places=[*STEADY_PLACES, *COMING_PLACES],
            chunk_records_count=CHUNK_RECORDS_COUNT,
            chunks_per_s_max=CHUNKS_PER_S_MAX,
            unrecorded=COMING,
        )
        self.served_s = 0.0
        """When the newest chunk was begun of which some record was acknowledged."""
        self._truth = truth
        self._generations = generations
        self._told = told

    def answered(
        self,
        begun_s: float,
        sends: Sequence[tuple[Place, str]],
        outcomes: Sequence[Ack | ClientError],
    ) -> None:
        for (place, name), outcome in zip(sends, outcomes, strict=True):
            if isinstance(outcome, ClientError):
                self._told.note(f"{self.name} produces to {place[0].split('-')[0]}", outcome)
            elif place[0] in COMING:
                self._generations.acked(Sent(place, outcome.offset, name, begun_s, now_s()))
            else:
                self._truth.noted(place, outcome.offset, name, self.name)
                self.served_s = begun_s


def _acks(family: str) -> dict[str, Any]:
    return {"aiokafka": {"acks": "all"}}.get(family, {"acks": "all"})


class Member(Worker):
    """A library's consumers, one after the other: one alone in its group, one in the shared group.

    The first one's reads and commits are judged; of the second it is known that it goes on.
    """

    def __init__(self, client: Client, recorder: Recorder, truth: Truth, told: Told) -> None:
        super().__init__(f"{client.library.name} reads")
        self.client = client
        self.group = f"{client.library.name} alone"
        self.read_s = self.shared_read_s = self.committed_s = 0.0
        """When a poll that brought something ended, of each consumer; and a commit."""
        self.read_count = 0
        self._recorder = recorder
        self._truth = truth
        self._told = told
        self._positions = Positions(self.name)
        self._shared_commits = Committed(SHARED)
        self._uncommitted: dict[Place, int] = {}
        self._alone = self._open(self.group, [*STEADY])
        self._shared = self._open(SHARED, [*STEADY, SUBSCRIBED])
        self._lock = threading.Lock()

    def _open(self, group: str, topics: list[str]) -> Consumer:
        family = self.client.library.family
        extra = {**SETTINGS[family], **CONSUMES[family], **FRESH[family]}
        if group == SHARED:
            extra |= self.client.library.round_robin or {}
        consumer = self.client.consumer(
            group=group, start="earliest", auto_commit=group == SHARED, extra=extra
        )
        consumer.subscribe(*topics)
        return consumer

    def step(self) -> None:
        with self._lock:
            self._read_alone()
            self._read_shared()
            if self._uncommitted and now_s() - self.committed_s > COMMIT_INTERVAL_S:
                self._commit()

    def _read_alone(self) -> None:
        operation = self._recorder.begin(self.name, "poll", [["poll"]])
        try:
            records = self._alone.poll(POLL_RECORDS_COUNT, POLL_S)
        except ClientError as error:
            operation.info(error)
            self._told.note(self.name, error)
            return
        self._positions.polled(self._alone.rebalances_count())
        found: dict[str, list[tuple[int, str]]] = {}
        for record in records:
            place, name = (record.topic, record.partition), name_of(record.value)
            found.setdefault(key_of(record.partition, record.topic), []).append(
                (record.offset, name)
            )
            self._positions.read(place, record.offset)
            self._uncommitted[place] = record.offset + 1
            self._truth.noted(place, record.offset, name, self.name)
        operation.ok([["poll", found]])
        if records:
            self.read_s = now_s()
            self.read_count += len(records)

    def _read_shared(self) -> None:
        try:
            if self._shared.poll(POLL_RECORDS_COUNT, POLL_S):
                self.shared_read_s = now_s()
        except ClientError as error:
            self._told.note(f"{self.name} in a shared group", error)

    def _commit(self) -> None:
        wanted = dict(self._uncommitted)
        named = {key_of(index, topic): offset for (topic, index), offset in wanted.items()}
        operation = self._recorder.begin(self.name, "commit", named, group=self.group)
        try:
            self._alone.commit(*((topic, index, at) for (topic, index), at in wanted.items()))
        except ClientError as error:
            operation.info(error)
            self._told.note(f"{self.name}, commits", error)
            pause(POLL_S)
            return
        operation.ok()
        self._positions.committed(wanted)
        self._uncommitted.clear()
        self.committed_s = now_s()

    def check_committed(self) -> None:
        """Between two steps: the group finds what was committed last, or what came after it; and
        what the shared one finds has not gone back."""
        with self._lock:
            commits = self._positions.commits
            asked = sorted(commits)
            operation = self._recorder.begin(self.name, "committed", group=self.group)
            found = dict(zip(asked, self._ask_committed(self._alone, asked), strict=True))
            named = {key_of(index, topic): offset for (topic, index), offset in found.items()}
            operation.ok(named)
            for place, offset in commits.items():
                now = found[place]
                assert now is not None and now >= offset, (
                    f"{self.group} has committed {offset} of {place}, and finds {now}"
                )
            shared = self._ask_committed(self._shared, STEADY_PLACES)
            self._shared_commits.see(dict(zip(STEADY_PLACES, shared, strict=True)))

    def _ask_committed(self, consumer: Consumer, places: Sequence[Place]) -> list[int | None]:
        """Some clients pass it on when the coordinator has moved: asked again of the next one."""
        deadline = Deadline(COMMITTED_TIMEOUT_S)
        while True:
            try:
                return consumer.committed(*places)
            except ClientError as error:
                self._told.note(f"{self.name}, asks for commits", error)
                if deadline.expired:
                    raise
                pause(POLL_S)


@dataclass(frozen=True)
class Sent:
    """A record that was acknowledged, and between which moments it was under way."""

    place: Place
    offset: int
    name: str
    begun_s: float
    acked_s: float


@dataclass
class Generation:
    """A topic from its creation on; `known_s` is when all nodes were seen to know it. Until then
    who has not heard of it may take records for the one before."""

    begun_s: float
    known_s: float
    topic_id: Any
    is_doubtful: bool
    """A request to delete one of that name was given up by the client, and may still arrive."""
    acked: list[Sent] = field(default_factory=list)


class Generations(Worker):
    """Deletes topics and makes them again, through any node, and knows what each may hold."""

    def __init__(self, system: System, seed: int, told: Told) -> None:
        super().__init__("deletes and creates")
        self.changes_count = self.late_count = 0
        self._admin = AdminClient({"bootstrap.servers": system.bootstrap, **SETTINGS["librdkafka"]})
        self._system = system
        self._random = seeded(seed)
        self._told = told
        self._lock = threading.Lock()
        self._acks: list[Sent] = []
        self._acks_lock = threading.Lock()
        self._acked_s: dict[tuple[Place, str], float] = {}
        self._present: dict[str, Generation] = {}
        self._doubted: set[str] = set()
        """Topics of which a request was given up since the last look. Who is stopped for a minute
        does what he was asked for when it goes on, whatever others have done since."""

    def acked(self, sent: Sent) -> None:
        with self._acks_lock:
            self._acks.append(sent)

    def make_all(self) -> None:
        for topic in (*STEADY, *COMING):
            self._make(topic)

    def step(self) -> None:
        is_subscribed = self._random.random() < SUBSCRIBED_SHARE
        others = sorted(COMING.keys() - {SUBSCRIBED})
        topic = SUBSCRIBED if is_subscribed else self._random.choice(others)
        with self._lock:
            self._present.pop(topic, None)
            self._until_done(topic, lambda: self._admin.delete_topics([topic])[topic], _GONE)
            self._make(topic)
            self.changes_count += 1
        pause(CHANGE_INTERVAL_S)

    def _make(self, topic: str) -> None:
        begun_s = now_s()
        wanted = NewTopic(topic, {**STEADY, **COMING}[topic], 1)
        self._until_done(topic, lambda: self._admin.create_topics([wanted])[topic], _THERE)
        topic_id = self._known(topic, KNOWN_TIMEOUT_S)
        known_s = math.inf if topic_id is None else now_s()
        self._present[topic] = Generation(begun_s, known_s, topic_id, topic in self._doubted)

    def _known(self, topic: str, timeout_s: float) -> Any:
        """Its id, once all nodes say the same; None if they do not in time."""
        deadline = Deadline(timeout_s)
        while (topic_id := self._system.topic_id(topic)) is None and not deadline.expired:
            pause(0.05)
        return topic_id

    def _see_late_requests(self, topic: str) -> None:
        """With everybody up: what a client has given up may have been done since."""
        before = self._present[topic]
        topic_id = self._known(topic, CHANGE_TIMEOUT_S)
        if topic_id is not None and topic_id == before.topic_id:
            return
        if topic_id is None:
            assert before.is_doubtful, f"{topic} is not there any more, and nobody deleted it"
            self._make(topic)
        elif before.topic_id is None:
            before.topic_id = topic_id
        else:
            assert before.is_doubtful, f"{topic} is another one, and nobody made it"
            self._present[topic] = Generation(before.begun_s, now_s(), topic_id, True)
        self.late_count += before.topic_id not in (None, topic_id)

    def _until_done(self, topic: str, ask: Any, also_done: int) -> None:
        """What is asked more than once may be done once more."""
        while not self._stop.is_set():
            try:
                ask().result(CHANGE_TIMEOUT_S * 2)
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.code() == also_done:
                    break
                self._doubted.add(topic)
                wire = {"name": error.name(), "code": error.code(), "text": error.str()}
                self._told.note("confluent admin", ClientError(wire))
                pause(0.1)
            else:
                break

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing goes and comes. Read what is stored only now, and then `check` it."""
        with self._lock:
            for topic in COMING:
                self._see_late_requests(topic)
            self._doubted.clear()
            with self._acks_lock:
                acks, self._acks = self._acks, []
            for sent in acks:
                self._acked_s[sent.place, sent.name] = sent.acked_s
                generation = self._present[sent.place[0]]
                if sent.begun_s >= generation.known_s:
                    generation.acked.append(sent)
            yield

    def check_stored(self, stored: Mapping[Place, list[str]]) -> None:
        """Each generation holds what was acknowledged in it, and nothing from before it."""
        for place, names in stored.items():
            begun_s = self._present[place[0]].begun_s
            for name in names:
                acked_s = self._acked_s.get((place, name), begun_s)
                assert acked_s >= begun_s, f"{name!r} of {place} has outlived its topic"
        for generation in self._present.values():
            for sent in generation.acked:
                names = stored[sent.place]
                found = names[sent.offset] if sent.offset < len(names) else None
                assert found == sent.name, (
                    f"{sent.place} offset {sent.offset} of {len(names)} is {found!r}; {sent.name!r}"
                    f" was sent {sent.begun_s - generation.known_s:.1f} s after all knew the"
                    f" topic, and acknowledged {sent.acked_s - generation.known_s:.1f} s after it"
                )


_GONE = KafkaError.UNKNOWN_TOPIC_OR_PART
_THERE = KafkaError.TOPIC_ALREADY_EXISTS
