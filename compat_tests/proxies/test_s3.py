"""The proxy before the store, against a real S3 server: each fault is what its name says."""

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from compat_tests.proxies.rules import Fault, Rule
from compat_tests.proxies.s3 import Outage, S3Proxy
from compat_tests.support.deadline import now_s, wait_until
from wal_core.testing.s3_server import S3Server

GONE = (http.client.HTTPException, OSError)
Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with S3Proxy(s3_server.endpoint, seed=1) as proxy:
        yield proxy


@pytest.fixture
def key(topic: str) -> str:
    return f"{topic}/key"


def asker(endpoint: str) -> Ask:
    def ask(
        method: str, key: str, body: bytes = b"", *, timeout_s: float = 10.0
    ) -> tuple[int, bytes]:
        """A PUT is conditional; a key that begins with ? is a query of the bucket."""
        parts = urlsplit(endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        headers = {"If-None-Match": "*"} if method == "PUT" else {}
        slash = "" if key.startswith("?") else "/"
        try:
            connection.request(method, f"/compat{slash}{key}", body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return ask


@pytest.fixture
def ask(proxy: S3Proxy) -> Ask:
    return asker(proxy.endpoint)


@pytest.fixture
def see(s3_server: S3Server) -> Ask:
    """Past the proxy."""
    return asker(s3_server.endpoint)


def test_without_rules_it_is_a_way_like_any_other(proxy: S3Proxy, ask: Ask, key: str) -> None:
    created: list[str] = []
    proxy.on_created = created.append
    body = bytes(range(256)) * 20_000
    assert ask("PUT", key, body)[0] == 200
    assert ask("PUT", key, b"other")[0] == 412
    assert ask("GET", key) == (200, body)
    assert ask("HEAD", key) == (200, b"")
    status, listing = ask("GET", f"?list-type=2&prefix={key}")
    assert (status, key.encode() in listing) == (200, True)
    assert ask("DELETE", key)[0] == 204
    assert ask("GET", key)[0] == 404
    assert proxy.requests_count == 7
    assert created == [key]
    assert not proxy.faults


@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (Fault.RESET, None, False),
        (Fault.LOST_REPLY, None, True),
        (Fault.ERROR_500, 500, False),
        (Fault.SLOW_DOWN, 503, False),
        (Fault.CONFLICT, 409, False),
        (Fault.DONE_THEN_500, 500, True),
        (Fault.HANG, None, False),
        (Fault.DONE_THEN_HANG, None, True),
        (Fault.REPEATED, 412, True),
        (Fault.LATENCY, 200, True),
    ],
)
def test_faults_of_a_put(
    proxy: S3Proxy, ask: Ask, see: Ask, key: str, fault: Fault, status: int | None, stored: bool
) -> None:
    proxy.rules = [Rule(fault, "PUT", "/key$", times=1)]
    if status is None:
        with pytest.raises(GONE):
            ask("PUT", key, b"x", timeout_s=1.0)
    else:
        assert ask("PUT", key, b"x")[0] == status
    assert (see("GET", key)[0] == 200) is stored
    assert proxy.faults == {fault.name: 1}
    assert ask("PUT", key, b"x")[0] == (412 if stored else 200), "the rule was for one request"


def test_a_listing_is_cut_inside(proxy: S3Proxy, ask: Ask, key: str) -> None:
    ask("PUT", key, b"x")
    proxy.rules = [Rule(Fault.TRUNCATED, "LIST", key)]
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask("GET", f"?list-type=2&prefix={key}")
    assert caught.value.partial
    assert ask("GET", key)[0] == 200


def test_a_share_of_the_requests_and_latency_on_top(proxy: S3Proxy, ask: Ask, key: str) -> None:
    proxy.rules = [
        Rule(Fault.LATENCY, delay_s=(0.001, 0.002)),
        Rule(Fault.SLOW_DOWN, "GET", share=0.5),
    ]
    statuses = [ask("GET", key)[0] for _ in range(60)]
    assert set(statuses) == {404, 503}
    assert 15 <= statuses.count(503) <= 45
    assert proxy.faults == {"LATENCY": 60, "SLOW_DOWN": statuses.count(503)}


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("released", [False, True])
def test_a_request_is_held_at_its_effect(
    proxy: S3Proxy, ask: Ask, see: Ask, key: str, after_effect: bool, released: bool
) -> None:
    hold = proxy.hold("PUT", "/key$", after_effect=after_effect, skip_count=1)
    assert ask("PUT", f"{key}/key", b"first")[0] == 200
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, "PUT", key, b"held")
        hold.wait_reached()
        assert (see("GET", key)[0] == 200) is after_effect
        assert ask("GET", key)[0] in (200, 404), "others pass"
        if released:
            hold.release()
            assert answer.result(10)[0] == 200
        else:
            hold.drop()
            with pytest.raises(GONE):
                answer.result(10)
    assert (see("GET", key)[0] == 200) is (after_effect or released)


def test_a_held_request_has_its_effect_although_its_sender_left(
    proxy: S3Proxy, ask: Ask, see: Ask, key: str
) -> None:
    hold = proxy.hold("PUT", "/key$")
    with pytest.raises(GONE):
        ask("PUT", key, b"late", timeout_s=0.2)
    assert see("GET", key)[0] == 404
    hold.release()
    assert see("GET", key) == (200, b"late")


@pytest.mark.parametrize("kind", [Outage.REFUSED, Outage.SILENT, Outage.BUSY])
def test_an_outage_ends(proxy: S3Proxy, ask: Ask, see: Ask, key: str, kind: Outage) -> None:
    proxy.down = kind
    if kind is Outage.BUSY:
        assert ask("PUT", key, b"x")[0] == 503
    else:
        with pytest.raises(GONE):
            ask("PUT", key, b"x", timeout_s=0.3)
    assert see("GET", key)[0] == 404
    proxy.heal()
    assert ask("PUT", key, b"x")[0] == 200


def test_whoever_waits_in_silence_is_cut_off_when_it_ends(
    proxy: S3Proxy, ask: Ask, key: str
) -> None:
    proxy.down = Outage.SILENT
    started_s = now_s()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, "PUT", key, b"x", timeout_s=60.0)
        wait_until(lambda: proxy.requests_count, what="the request")
        proxy.heal()
        with pytest.raises(GONE):
            answer.result(30)
    assert now_s() - started_s < 30
