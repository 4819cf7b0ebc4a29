"""Tables as they are stored; those that are damaged are made anew, once, and told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from wal_core import Corrupt, Fenced, LogConfig, MemoryStore
from wal_core.format.chain import Completed, Link
from wal_core.state.contents import Contents
from wal_core.state.rebuild import Rebuild
from wal_core.state.table_loading import TableLoading, stored_tables
from wal_core.state.tables import Tables
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import Harness

FOOTER = 2  # behind so many blocks


class Loading:
    """Over a log of some segments; `links` are the finished ones."""

    @classmethod
    async def of_a_log(cls) -> Loading:
        self = cls()
        self.bucket = MemoryStore()
        self.store = ObjectSegmentStore(self.bucket)
        self.h = await Harness.open(self.store, LogConfig.preset("object"))
        for _ in range(3):
            for _ in range(FOOTER):
                await self.h.add(1, b"x")
            self.h.log.complete_segment()
            await asyncio.sleep(1)
        self.contents: Contents = self.h.log._contents
        self.links = [link for link in self.contents.chain.links if link.last > 0]
        self.got: list[Link] = []
        rebuild = Rebuild(self.store, 0, self.h.log._manifests, self.h.log._persist)

        async def get(link: Link) -> Tables:
            self.got.append(link)
            return await stored_tables(self.store, 0, link)

        self.overtaken: Fenced | None = None

        async def confirm() -> None:
            if self.overtaken is not None:
                raise self.overtaken

        self.loading = TableLoading(self.store, 0, self.contents, rebuild, get=get, confirm=confirm)
        return self

    def flip(self, link: Link) -> None:
        key = f"logs/0/{link.last:020d}/{FOOTER:010d}"
        body = bytearray(self.bucket.objects[key])
        body[-1] ^= 1
        self.bucket.objects[key] = bytes(body)


def runs_of(tables: Tables) -> list[tuple[int, int]]:
    return [(run.block, run.first_offset) for run in tables.runs(1)]


def test_a_footer_that_is_damaged_is_made_anew_of_its_blocks(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        of = await Loading.of_a_log()
        link = of.links[1]
        whole = await of.loading.load(link)
        assert not of.loading.damaged
        of.flip(link)
        with pytest.raises(Corrupt):
            await stored_tables(of.store, 0, link)
        with caplog.at_level(logging.ERROR):
            made = await asyncio.gather(*(of.loading.load(link) for _ in range(3)))
        assert {id(tables) for tables in made} == {id(made[0])}  # once, for all who ask
        assert runs_of(made[0]) == runs_of(whole)
        assert of.loading.damaged == {link}
        assert len([r for r in caplog.records if "go by what their blocks say" in r.message]) == 1
        assert of.got == [of.links[0]]  # what the streams were before
        await of.loading.close()

    run(main)


def test_of_the_last_one_and_of_neighbours_as_much_as_is_left_is_made():
    async def main() -> None:
        of = await Loading.of_a_log()
        whole = [runs_of(await of.loading.load(link)) for link in of.links[-2:]]
        for link in of.links[-2:]:
            of.flip(link)
        assert runs_of(await of.loading.load(of.links[-2])) == whole[0]
        assert of.loading.damaged == {of.links[-2]}

    run(main)


def test_what_is_not_in_the_chain_any_more_is_not_made():
    async def main() -> None:
        of = await Loading.of_a_log()
        with pytest.raises(Corrupt, match="no footer"):
            await of.loading.load(Completed(99))
        assert not of.loading.damaged

    run(main)


def test_what_others_have_deleted_meanwhile_is_told_as_no_damage(caplog: pytest.LogCaptureFixture):
    async def main() -> None:
        of = await Loading.of_a_log()
        link = of.links[1]
        of.overtaken = Fenced("others went on", log_id=0)
        await of.bucket.delete(f"logs/0/{link.last:020d}/{FOOTER:010d}")
        with caplog.at_level(logging.ERROR), pytest.raises(Fenced):
            await of.loading.load(link)
        assert not of.loading.damaged
        assert not caplog.records

    run(main)
