"""Which member is asked, and what is repeated: against members that answer as they are told."""

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.cluster.coordination import wire
from gateway.cluster.coordination.base import Compacted, LeaseLost, Refused, StoreAway

WHY_NOT = "needs the extra [etcd], of requirements-dev.lock"
if not importlib.util.find_spec("grpc"):
    assert not os.environ.get("CI"), WHY_NOT
    pytest.skip(WHY_NOT, allow_module_level=True)

import grpc  # noqa: E402
import grpc.aio  # noqa: E402

from gateway.cluster.coordination.etcd_link import EtcdLink, MemberLost  # noqa: E402
from gateway.cluster.coordination.etcd_settings import EtcdSettings  # noqa: E402

NOBODY = "127.0.0.1:1"
TXN, RANGE = "KV/Txn", "KV/Range"
Answer = bytes | tuple[grpc.StatusCode, str] | None
SILENCE = None


class Member:
    """Answers every call with what `say` has for it; probes are reads of the key \\0."""

    def __init__(self) -> None:
        self.port = 0
        self.say: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.probe: Answer = b""
        self._server = grpc.aio.server()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        def handler(called: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            method = called.method.removeprefix("/etcdserverpb.")
            token = dict(called.invocation_metadata).get("token")

            async def unary(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
                is_probe = method == RANGE and wire.Fields(request).blob(1) == b"\0"
                if is_probe:
                    return await self._give(self.probe, context)
                self.asked.append(method)
                self.tokens.append(token)
                said = self.say.get(method) or [b""]
                return await self._give(said.pop(0), context)

            return grpc.unary_unary_rpc_method_handler(unary)

        class Handler(grpc.GenericRpcHandler):
            def service(self, called: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                return handler(called)

        self._server.add_generic_rpc_handlers([Handler()])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def _give(self, answer: Answer, context: grpc.aio.ServicerContext) -> bytes:
        if isinstance(answer, tuple):
            await context.abort(*answer)
        if answer is SILENCE:
            await asyncio.Event().wait()
        assert isinstance(answer, bytes)
        return answer

    async def stop(self) -> None:
        await self._server.stop(None)


@pytest.fixture
async def members() -> AsyncIterator[list[Member]]:
    members = [Member(), Member()]
    for member in members:
        await member.start()
    yield members
    for member in members:
        await member.stop()


MakeLink = Callable[..., EtcdLink]


@pytest.fixture
async def link_to() -> AsyncIterator[MakeLink]:
    links: list[EtcdLink] = []

    def make(*endpoints: str, call_s_max: float = 20, **settings: str) -> EtcdLink:
        links.append(EtcdLink(EtcdSettings(endpoints, **settings), call_s_max))  # type: ignore[arg-type]
        return links[-1]

    yield make
    for link in links:
        await link.close()


async def test_one_who_is_not_there_is_passed_over(
    members: list[Member], link_to: MakeLink
) -> None:
    link = link_to(NOBODY, members[0].endpoint)
    await link.ask(TXN, b"", repeat=False)
    assert members[0].asked == [TXN]


async def test_one_without_a_leader_is_passed_over(
    members: list[Member], link_to: MakeLink
) -> None:
    members[0].probe = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
    link = link_to(*(member.endpoint for member in members))
    await link.ask(TXN, b"", repeat=False)
    assert (members[0].asked, members[1].asked) == ([], [TXN])


LOST = (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out")


async def test_a_read_is_repeated_elsewhere_and_a_change_never(
    members: list[Member], link_to: MakeLink
) -> None:
    members[0].say = {RANGE: [LOST], TXN: [LOST]}
    link = link_to(*(member.endpoint for member in members))
    await link.ask(RANGE, b"", repeat=True)
    assert (members[0].asked, members[1].asked) == ([RANGE], [RANGE])
    members[1].say = {TXN: [LOST]}
    with pytest.raises(MemberLost, match="request timed out"):
        await link.ask(TXN, b"", repeat=False)
    # It may have taken effect there: nobody else was asked, and the next call goes on elsewhere.
    assert (members[0].asked, members[1].asked) == ([RANGE], [RANGE, TXN])
    members[0].say = {}
    await link.ask(TXN, b"", repeat=False)
    assert members[0].asked == [RANGE, TXN]


async def test_of_many_who_find_a_member_lost_each_gets_another(
    members: list[Member], link_to: MakeLink
) -> None:
    members[0].say = {RANGE: [LOST] * 20}
    link = link_to(*(member.endpoint for member in members))
    await asyncio.gather(*(link.ask(RANGE, b"", repeat=True) for _ in range(20)))
    assert members[1].asked == [RANGE] * 20


async def test_silence_is_over_in_half_the_time_where_another_can_be_asked(
    members: list[Member], link_to: MakeLink
) -> None:
    members[0].say = {RANGE: [SILENCE]}
    link = link_to(*(member.endpoint for member in members), call_s_max=2)
    await link.ask(RANGE, b"", repeat=True)
    assert members[1].asked == [RANGE]


async def test_who_answers_nothing_is_named_with_what_was_found(link_to: MakeLink) -> None:
    link = link_to(NOBODY, call_s_max=0.5)
    with pytest.raises(StoreAway, match=r"etcd at 127.0.0.1:1 did not answer KV/Range.*onnect"):
        await link.ask(RANGE, b"", repeat=True)


async def test_a_token_is_asked_for_once_and_again_when_it_is_refused(
    members: list[Member], link_to: MakeLink
) -> None:
    stale = (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
    log_in = "Auth/Authenticate"
    members[0].say = {log_in: [wire.texts((2, "one")), wire.texts((2, "two"))]}
    members[0].say[TXN] = [b"", stale, b""]
    link = link_to(members[0].endpoint, user="u", password="p")
    await link.ask(TXN, b"", repeat=False)
    await link.ask(TXN, b"", repeat=False)
    assert members[0].asked == [log_in, TXN, TXN, log_in, TXN]
    assert members[0].tokens == [None, "one", "one", None, "two"]


async def test_who_takes_no_token_at_all_is_not_asked_for_ever(
    members: list[Member], link_to: MakeLink
) -> None:
    stale = (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
    members[0].say = {"Auth/Authenticate": [wire.texts((2, "one"))] * 9, TXN: [stale] * 9}
    link = link_to(members[0].endpoint, user="u", password="p")
    with pytest.raises(Refused, match="invalid auth token"):
        await link.ask(TXN, b"", repeat=False)


@pytest.mark.parametrize(
    ("code", "details", "kind", "told"),
    [
        ("NOT_FOUND", "etcdserver: requested lease not found", LeaseLost, "register again"),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Refused, "the user's roles"),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", Refused, "check user"),
        (
            "OUT_OF_RANGE",
            "etcdserver: mvcc: required revision has been compacted",
            Compacted,
            "read",
        ),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", StoreAway, "space"),
    ],
)
async def test_what_errors_mean(
    members: list[Member],
    link_to: MakeLink,
    code: str,
    details: str,
    kind: type[Exception],
    told: str,
) -> None:
    members[0].say = {RANGE: [(grpc.StatusCode[code], details)]}
    link = link_to(members[0].endpoint)
    with pytest.raises(kind, match=told):
        await link.ask(RANGE, b"", repeat=True)
    assert members[0].asked == [RANGE]


async def test_who_waits_for_an_answer_is_told_when_the_link_is_closed(
    members: list[Member], link_to: MakeLink
) -> None:
    members[0].say = {TXN: [SILENCE]}
    link = link_to(members[0].endpoint)
    waiting: Awaitable[object] = asyncio.ensure_future(link.ask(TXN, b"", repeat=False))
    while not members[0].asked:
        await asyncio.sleep(0.01)
    await link.close()
    with pytest.raises(StoreAway):
        await waiting
    with pytest.raises(StoreAway, match="closed"):
        await link.ask(TXN, b"", repeat=False)
