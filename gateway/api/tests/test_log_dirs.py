"""DescribeLogDirs through the codec."""

from typing import Any

import pytest

from gateway.api.log_dirs import PARTITIONS_PER_TURN_COUNT
from gateway.tests.harness import Client, batch_of, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from wal_core import Corrupt


async def _described(
    client: Client, topics: dict[str, list[int]] | None, version: int = 4
) -> tuple[Any, dict[tuple[str, int], int]]:
    """The one directory, and the size of each partition."""
    asked = None
    if topics is not None:
        asked = [DescribableLogDirTopic(topic=t, partitions=p) for t, p in topics.items()]
    request = DescribeLogDirsRequest(topics=asked)
    reply = await client.call(ApiKey.DESCRIBE_LOG_DIRS, version, request)
    (row,) = reply.results
    sizes = {
        (t.name, p.partition_index): p.partition_size for t in row.topics for p in t.partitions
    }
    return row, sizes


@pytest.mark.parametrize("version", range(1, 5))
@virtual
async def test_sizes_of_everything_and_of_what_is_asked_for(version: int) -> None:
    world, client = await started()
    await client.create("a", "b", partitions=2)
    size = len(batch_of(b"x" * 100))
    for _ in range(3):
        await client.produced("a", batch_of(b"x" * 100), index=1)
    await client.produced("b", batch_of(b"x" * 100))
    row, sizes = await _described(client, None, version)
    assert (row.error_code, row.log_dir) == (0, "memory:")
    assert sizes == {("a", 0): 0, ("a", 1): 3 * size, ("b", 0): size, ("b", 1): 0}
    asked = {"a": [1, 7, -1], "none": [0]}
    assert (await _described(client, asked, version))[1] == {("a", 1): 3 * size}
    assert (await _described(client, {}, version))[1] == {}
    if version == 4:
        assert (row.total_bytes, row.usable_bytes) == (-1, -1)
    await world.restart()
    assert (await _described(world.client(), None, version))[1] == sizes


@virtual
async def test_what_is_deleted_is_no_longer_counted() -> None:
    _, client = await started()
    await client.create("t")
    for _ in range(4):
        await client.produced("t", batch_of(b"x" * 100))
    size = len(batch_of(b"x" * 100))
    for before, blocks in ((1, 3), (3, 1), (4, 0)):
        await client.deleted("t", before)
        assert (await _described(client, None))[1] == {("t", 0): blocks * size}


@virtual
async def test_a_damaged_index_is_an_error_of_the_directory() -> None:
    world, client = await started()
    await client.create("t")

    async def damaged(_: int) -> int:
        raise Corrupt("a footer")

    world.log.size_bytes = damaged  # type: ignore[method-assign]
    row, sizes = await _described(client, None)
    assert (row.error_code, sizes) == (ErrorCode.KAFKA_STORAGE_ERROR, {})


@virtual
async def test_many_partitions() -> None:
    _, client = await started()
    count = 3 * PARTITIONS_PER_TURN_COUNT
    await client.create("t", partitions=count)
    assert len((await _described(client, None))[1]) == count
