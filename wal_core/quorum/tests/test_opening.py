"""Opening a location in mode quorum."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core import Invalid, Unavailable, open_quorum_store, open_store
from wal_core.quorum.members import Logstores
from wal_core.quorum.tests.places import Registered


async def test_logstores_are_reached_for_the_cluster_that_the_marker_names(tmp_path: Path):
    asked: list[str] = []

    async def reach(cluster: str) -> Logstores:
        asked.append(cluster)
        return Registered()

    for _ in range(2):
        store = await open_quorum_store(str(tmp_path), reach)
        assert (store.mode, await store.segments(0)) == ("quorum", [])
        with pytest.raises(Unavailable, match="needs 3 logstores, 0 are registered"):
            await store.lock(0)
        await store.close()
    assert len(asked) == 2
    assert len(set(asked)) == 1

    async def fail(cluster: str) -> Logstores:
        raise Unavailable("nobody says where they are")

    with pytest.raises(Unavailable, match="nobody says"):
        await open_quorum_store(str(tmp_path), fail)
    await (await open_store(str(tmp_path / "other"), "object")).close()
    with pytest.raises(Invalid, match="in mode object, asked for was quorum"):
        await open_quorum_store(str(tmp_path / "other"), reach)
