"""The bucket store against scripted answers, and a look at the bucket with somebody else's eyes."""

from __future__ import annotations

import asyncio

import pytest

from wal_core import CloudSettings, Invalid, LogConfig, Unavailable
from wal_core.clock import SystemClock, SystemRng
from wal_core.errors import Fenced
from wal_core.format.block import HEADER_BYTES
from wal_core.format.places import Slot
from wal_core.stores.objects.base import AlreadyExists, NotFound
from wal_core.stores.objects.cloud import CloudStore, hand_over, open_cloud
from wal_core.stores.objects.cloud_opening import open_trusted
from wal_core.stores.opening import open_store
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from wal_core.testing.scripted_s3 import Answer, Planned, ScriptedS3
from wal_core.tests.harness import CountingRng, Harness

SECRET = "a-very-secret-key"


@pytest.fixture
async def s3(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with ScriptedS3() as server:
        yield server


@pytest.fixture
async def store(s3):
    made = opened(s3)
    yield made
    await made.close()


def opened(s3: ScriptedS3, location: str = "s3://bucket/p", timeout_ms: int = 300) -> CloudStore:
    return open_cloud(location, CloudSettings(endpoint=s3.endpoint, timeout_ms=timeout_ms))


SLOT = Slot(0, 0, 0, 0)
KEY = "p/logs/0/00000000000000000000/0000000000"
OURS = [bytes(range(HEADER_BYTES)), b"data"]


@pytest.mark.parametrize(
    "answer",
    [Answer.LOST_REPLY, Answer.DONE_THEN_500, Answer.DONE_THEN_HANG, Answer.CONFLICT, Answer.RESET],
)
async def test_a_block_whose_fate_is_unknown_is_recognised(s3, store, answer):
    s3.plan.append(Planned("PUT", "logs", answer))
    persist = Persistence(LogConfig.preset("object"), CountingRng())
    segments = ObjectSegmentStore(store)
    await persist(lambda: segments.append(SLOT, OURS, final=False))
    assert s3.objects == {KEY: b"".join(OURS)}
    assert s3.plan == []


async def test_a_block_of_another_writer_fences(s3, store):
    s3.objects[KEY] = bytes(HEADER_BYTES) + b"theirs"
    with pytest.raises(Fenced):
        await ObjectSegmentStore(store).append(SLOT, OURS, final=False)
    assert s3.objects[KEY].endswith(b"theirs")


async def test_a_conflict_without_an_object_is_tried_again(s3, store):
    s3.plan.append(Planned("PUT", "logs", Answer.CONFLICT))
    with pytest.raises(Unavailable, match="left nothing"):
        await ObjectSegmentStore(store).append(SLOT, OURS, final=False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer.SLOW_DOWN, "503 SlowDown"),
        (Answer.ERROR_500, "500 InternalError"),
        (Answer.RESET, "no connection"),
        (Answer.HANG, "no answer in time"),
    ],
)
async def test_what_passes_is_unavailable(s3, store, answer, expected):
    s3.plan += [Planned(method, "/", answer, 100) for method in ("PUT", "GET", "DELETE")]
    for call in (
        lambda: store.create("k", [b"x"]),
        lambda: store.get_range("k", 0, 1),
        lambda: store.list("logs/"),
        lambda: store.delete("k"),
    ):
        with pytest.raises(Unavailable, match=expected) as caught:
            await call()
        assert "s3://bucket/p at http://127.0.0.1:" in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer.DENIED, "AccessDenied.*rights"),
        (Answer.EXPIRED, "ExpiredToken.*AWS_SESSION_TOKEN"),
        (Answer.NOT_IMPLEMENTED, "501.*conditional writes"),
        (Answer.REDIRECT, "--s3-region"),
        (Answer.WEB_PAGE, "does not speak"),
    ],
)
async def test_a_refusal_is_final_until_the_store_is_in_service(s3, store, answer, expected):
    s3.plan.append(Planned("PUT", "/", answer, 100))
    with pytest.raises(Invalid, match=expected):
        await store.create("k", [b"x"])
    store.in_service = True
    with pytest.raises(Unavailable, match=expected):
        await store.create("k", [b"x"])


async def test_a_missing_bucket_is_not_a_missing_object(s3):
    elsewhere = opened(s3, "s3://nobucket/p")
    for call in (
        lambda: elsewhere.create("k", [b"x"]),
        lambda: elsewhere.get_range("k", 0, 1),
        lambda: elsewhere.list("logs/"),
    ):
        with pytest.raises(Invalid, match=r"NoSuchBucket.*create the bucket"):
            await call()


async def test_the_library_tries_what_passes_a_few_times(s3, store):
    s3.plan.append(Planned("PUT", "k", Answer.SLOW_DOWN, 2))
    await store.create("k", [b"x"])
    assert s3.count("PUT") == 3


async def test_a_listing_comes_whole_or_not_at_all(s3, store):
    s3.page_keys_max = 3
    keys = [f"p/logs/{n:02d}" for n in range(10)]
    s3.objects.update(dict.fromkeys(keys, b"x"))
    s3.objects["p/logsother"] = b"x"
    rows = await store.list("logs/")
    assert [f"p/{row.key}" for row in rows] == keys
    assert rows[0].modified_ms == 1767323045000
    assert [row.key for row in await store.list("logs/", "logs/07")] == ["logs/08", "logs/09"]
    assert s3.count("GET") == 5
    # The second page fails for good: no half listing may pass for a whole one.
    s3.plan.append(Planned("GET", "continuation-token", Answer.ERROR_500, 100))
    with pytest.raises(Unavailable):
        await store.list("logs/")


async def test_a_cancelled_create_holds_its_bytes_until_it_is_over(s3):
    store = opened(s3, timeout_ms=2_000)
    s3.plan.append(Planned("PUT", "k", Answer.HANG))
    block = bytearray(b"x" * 8192)
    create = asyncio.ensure_future(store.create("k", [memoryview(block)]))
    while not s3.requests:
        await asyncio.sleep(0)
    create.cancel()
    await asyncio.wait({create})
    assert create.cancelled()
    assert len(store._puts) == 1
    with pytest.raises(BufferError):
        block.clear()
    await store.close()
    assert not store._puts


async def test_bytes_of_one_create_are_the_pieces_in_order(s3, store):
    pieces = [b"head", memoryview(b"x" * 5000), b"a", b"b", bytearray(b"y" * 4096), b""]
    await store.create("k", pieces)
    assert s3.objects["p/k"] == b"".join(pieces)


def test_small_pieces_are_joined_and_large_ones_are_not_copied():
    large = bytes(4096)
    assert [len(part) for part in hand_over([b"a", b"b", large, b"c", large])] == [2, 4096, 1, 4096]
    assert hand_over([large])[0] is large
    assert list(hand_over([])) == []
    (joined,) = hand_over([large] * 1001)
    assert len(joined) == 1001 * 4096


async def test_missing_objects_and_empty_ones(s3, store):
    with pytest.raises(NotFound):
        await store.get_range("k", 0, 0)
    await store.create("k", [])
    assert await store.get_range("k", 0, 10) == b""
    assert await store.size("k") == 0
    with pytest.raises(AlreadyExists):
        await store.create("k", [b"x"])
    await store.delete("k")
    await store.delete("k")


async def test_an_overloaded_store_is_waited_for_at_the_start(s3):
    s3.plan.append(Planned("PUT", "", Answer.SLOW_DOWN, 150))
    settings = CloudSettings(endpoint=s3.endpoint, timeout_ms=5_000)
    store = await open_store("s3://bucket/new", "object", cloud=settings)
    assert list(s3.objects) == ["new/woodpecker.json"]
    await store.close()


async def test_a_silent_address_is_given_up(monkeypatch):
    monkeypatch.setattr("wal_core.stores.objects.cloud_opening.SILENCE_S_MAX", 1.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    settings = CloudSettings(endpoint="http://127.0.0.1:1", timeout_ms=200)

    async def never(_: object) -> None:
        raise AssertionError

    with pytest.raises(Unavailable, match=r"Connection refused.*gave up"):
        await open_trusted("s3://bucket", settings, never, clock=SystemClock(), rng=SystemRng())


async def test_a_bucket_that_ignores_conditions_is_refused_and_left_clean(s3):
    s3.conditions_honoured = False
    settings = CloudSettings(endpoint=s3.endpoint)
    with pytest.raises(Invalid, match="cannot hold a log: 16 of 16 concurrent creates"):
        await open_store("s3://bucket/p", "object", cloud=settings)
    assert s3.objects == {}


async def test_the_log_in_a_real_bucket_as_others_see_it(s3_server: S3Server, s3_bucket: str):
    from aiobotocore.session import get_session

    store = await open_store(f"s3://{s3_bucket}/a/b", "object")
    log = await Harness.open(store)
    for n in range(3):
        await log.add(7, b"payload-%d" % n)
    await log.log.close()
    async with get_session().create_client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    ) as client:
        listed = await client.list_objects_v2(Bucket=s3_bucket)
        bodies = {}
        for row in listed["Contents"]:
            got = await client.get_object(Bucket=s3_bucket, Key=row["Key"])
            bodies[row["Key"]] = await got["Body"].read()
    blocks = f"a/b/logs/0/{1:020d}/"
    assert set(bodies) == {
        "a/b/woodpecker.json",
        f"a/b/logs/0/{0:020d}/{0:010d}",  # the fence of the first opening
        f"a/b/manifests/0/{0:020d}",  # it took over what there was
        *(blocks + f"{n:010d}" for n in range(4)),
    }
    assert bodies["a/b/woodpecker.json"] == b'{"format": 3, "mode": "object"}\n'
    for n in range(3):
        assert bodies[blocks + f"{n:010d}"].endswith(b"payload-%d" % n)
    await store.close()
    again = await Harness.open(await open_store(f"s3://{s3_bucket}/a/b", "object"))
    assert [payload for _, payload in await again.read_all(7)] == [
        b"payload-%d" % n for n in range(3)
    ]
    await again.log.close()
    await again.store.close()
