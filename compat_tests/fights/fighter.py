"""One of several gateways on one log, with a way to the bucket that a test can close.

Every value is said once, to one gateway. Whoever acks it names its offset; `check_log` then finds
every acked value at its offset, and no value twice.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from compat_tests.proxies.rules import Hold
from compat_tests.proxies.s3 import S3Proxy
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway, logs_count
from compat_tests.wire.batches import build, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import (
    PRODUCE_VERSION,
    create_topic,
    fetch_batches,
    only_partition,
    produce_request,
)
from wal_core.testing.s3_server import S3Server

TOPIC = "fight"
BLOCK = r"logs/1/\d{20}/\d{10}$"
LOG = r"(logs|manifests|sealed)/[01]/"  # of the catalog, or of the log that the topic lies on
SEGMENT_BYTES = 64 << 10
# Smallest segments, so that one large value ends one; patience enough for every pause of a test.
FLAGS = ("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB")
PATIENT = ("--store-timeout-ms", "120s")
NOBODY_KNOWS_WHEN_S = 30.0
NOT_LEADER_OR_FOLLOWER = 6


class Fighter:
    """A gateway and its proxy; `acks` are the offsets it gave to values."""

    def __init__(self, server: S3Server, place: str, name: str, flags: tuple[str, ...]) -> None:
        self.name = name
        self.proxy = S3Proxy(server.endpoint)
        environ = {**server.environ(), "AWS_ENDPOINT_URL": self.proxy.endpoint}
        self.gateway = Gateway(place, mode="s3", options=(*FLAGS, *flags), environ=environ)
        self.acks: dict[bytes, int] = {}
        self.refused: dict[bytes, int] = {}
        self._voice: Connection | None = None
        self._said: dict[int, bytes] = {}
        self._ears: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> "Fighter":
        self.gateway.start()
        return self

    def close(self) -> None:
        self.gateway.__exit__()
        if self._voice is not None and self._ears is not None:
            self._ears.join(NOBODY_KNOWS_WHEN_S)  # ends with the process
            self._voice.close()
        self.proxy.close()
        print(f"--- log of {self.name}", *self.gateway.log, sep="\n")

    def hold(self, *, after_effect: bool = False) -> Hold:
        """The next block it writes, whatever kind."""
        return self.proxy.hold("PUT", BLOCK, after_effect=after_effect)

    def say(self, value: bytes) -> None:
        """Produces it; the answer comes when it comes."""
        if self._voice is None:
            self._voice = Connection(self.gateway.bootstrap, timeout_s=120.0)
            self._ears = threading.Thread(target=self._listen, args=(self._voice,), daemon=True)
            self._ears.start()
        request = produce_request({TOPIC: {0: build([value])}}, timeout_ms=300_000)
        with self._lock:
            self._said[self._voice.send(request, PRODUCE_VERSION)] = value

    def _listen(self, voice: Connection) -> None:
        try:
            while True:
                asked, response = voice.receive()
                answer = only_partition(response)
                with self._lock:  # or the answer is quicker than the note of what was asked
                    value = self._said[asked]
                if answer.error_code:
                    self.refused[value] = answer.error_code
                else:
                    self.acks[value] = answer.base_offset
        except OSError:
            pass

    def wait_acked(self, *values: bytes) -> None:
        wait_until(
            lambda: all(value in self.acks for value in values),
            timeout_s=NOBODY_KNOWS_WHEN_S,
            what=f"{self.name} to ack {values!r}, not refuse {self.refused!r}",
        )

    def tell(self, value: bytes) -> None:
        """Says it and waits for the ack."""
        self.say(value)
        self.wait_acked(value)

    def has_lost(self, last_word: bytes) -> None:
        """A value it hears of now is not acked, and the process says why, and ends, unless it has
        other logs. It is not needed any more."""
        try:
            self.say(last_word)
        except OSError:
            pass  # it had ended already
        if logs_count() > 1:
            wait_until(
                lambda: not self.gateway.running or (self.refuses(last_word) and self.tells_why()),
                what=f"{self.name} to refuse a value",
            )
        if logs_count() > 1 and self.gateway.running:
            self.gateway.kill()
        else:
            assert self.gateway.wait_ended() == 1
        if self._ears is not None:
            self._ears.join(NOBODY_KNOWS_WHEN_S)
            assert not self._ears.is_alive()
        assert last_word not in self.acks
        assert self.tells_why()
        assert self.gateway.tracebacks_count == 0

    def tells_why(self) -> bool:
        reasons = ("another writer", "another broker took the catalog over")
        return any(reason in line for line in list(self.gateway.log) for reason in reasons)

    def refuses(self, value: bytes) -> bool:
        """It has said so, or there is nobody any more who could ack it."""
        return self.refused.get(value) == NOT_LEADER_OR_FOLLOWER or not self.gateway.running


class Fight:
    """All who fight for one log."""

    def __init__(self, server: S3Server, place: str, stack: ExitStack) -> None:
        self._server = server
        self._place = place
        self._stack = stack
        self.fighters: list[Fighter] = []

    def fighter(self, *flags: str) -> Fighter:
        """One more, not started."""
        name = f"gateway {len(self.fighters) + 1}"
        fighter = Fighter(self._server, self._place, name, flags or PATIENT)
        self._stack.callback(fighter.close)
        self.fighters.append(fighter)
        return fighter

    def opened(self, *flags: str) -> Fighter:
        """The first one, with the topic made and a record in it."""
        first = self.fighter(*flags).start()
        with Connection(first.gateway.bootstrap) as connection:
            create_topic(connection, TOPIC)
        first.tell(b"first word")
        return first

    def check_log(
        self, owner: Fighter, *, present: Iterable[bytes] = (), absent: Iterable[bytes] = ()
    ) -> None:
        """Dense, everything acked by anybody at its offset, nothing twice."""
        values = read_values(owner)
        for fighter in self.fighters:
            for value, offset in fighter.acks.items():
                assert offset < len(values), f"{fighter.name} acked {value[:30]!r} at {offset}"
                assert values[offset] == value, f"{fighter.name} acked another value at {offset}"
        assert len(set(values)) == len(values)
        assert not set(present) - set(values)
        assert not set(absent) & set(values)

    def check_for_ever(
        self, owner: Fighter, *, present: Iterable[bytes] = (), absent: Iterable[bytes] = ()
    ) -> None:
        """Now, and for whoever opens it next."""
        self.check_log(owner, present=present, absent=absent)
        owner.gateway.kill()
        heir = self.fighter().start()
        self.check_log(heir, present=present, absent=absent)
        heir.tell(b"last word")


def read_values(owner: Fighter) -> list[bytes]:
    with Connection(owner.gateway.bootstrap) as connection:
        batches = fetch_batches(connection, TOPIC)
    values = []
    for batch in batches:
        for offset, value in values_of(batch):
            assert offset == len(values), "a gap or an overlap of offsets"
            values.append(value or b"")
    return values


@contextmanager
def fight_over(server: S3Server, place: str) -> Iterator[Fight]:
    with ExitStack() as stack:
        yield Fight(server, place, stack)
