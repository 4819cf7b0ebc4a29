"""What the listing says, and what is left of it once others have spoken."""

from wal_core import LogConfig, MemoryStore
from wal_core.fsck.inventory import Inventory
from wal_core.stores.manifests import manifest_key
from wal_core.stores.persistence import Persistence
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng


def test_it_lists_the_folders_of_one_log() -> None:
    async def main() -> None:
        store = MemoryStore()
        own = ["logs/1/2.seg", "manifests/1/3", "sealed/1/4-x/index"]
        for key in (*own, "logs/11/2.seg", "logs/2/1.seg", "other/1/2", "marker"):
            await store.create(key, [b"12345"])
        found = await Inventory.of(store, 1, Persistence(LogConfig(), CountingRng()))
        assert found.sizes == dict.fromkeys(own, 5)

    run(main)


def test_what_was_named_is_not_left_over() -> None:
    found = Inventory(dict.fromkeys(["a/1", "a/2", "b/1", "a/\U0010fffe"], 1))
    found.name("a/1", "never/was")
    assert found.is_named("a/1")
    assert not found.is_named("a/2")
    assert found.unnamed() == ["a/2", "a/\U0010fffe", "b/1"]
    assert found.unnamed(["a/1", "b/1"]) == ["b/1"]
    assert found.under("a/") == ["a/1", "a/2", "a/\U0010fffe"]
    assert found.under("c") == []


def test_numbers_are_read_from_names_and_strangers_are_none() -> None:
    number = f"{7:020d}"
    keys = [
        *(f"logs/1/{number}/{block:010d}" for block in range(2)),
        f"logs/1/{3:020d}.seg",
        "logs/1/lock",
        "logs/1/²/0000000000",
        f"sealed/1/{number}-nonce/index",
        "sealed/1/stray/index",
        manifest_key(1, 5),
        "manifests/1/5",
    ]
    found = Inventory(dict.fromkeys(keys, 1))
    assert found.segments(1) == [3, 7]
    assert found.sealed_folders(1) == {7}
    assert found.manifests(1) == [5]
    assert found.segments(2) == []
