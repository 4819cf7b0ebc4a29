"""For every test of the repository."""

import gc
import os

import pytest
from _pytest.nodeid import coerce_node_id
from hypothesis import settings

from gateway.translated import finder

# By hand: tests that replace functions of modules, or `os` in them, fail (ARCHITECTURE.md).
if os.environ.get("WOODPECKER_TRANSLATED"):
    assert finder.install(), "nothing is translated, or sources have changed since"

# A deadline for each example would measure how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays: let no later collection of garbage look at it.

    Hundreds of tests collect garbage to see that nothing failed unseen. With half a million
    objects of modules and of tests to walk through, that was half of their time.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests of one `xdist_group` run in one process.

    pytest-xdist 3.8 writes the group into a field that pytest 9.2 has no more, so that groups were
    taken apart without a word.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        suffix = f"@{'_'.join(groups)}"
        if groups and not item.nodeid.endswith(suffix):
            item._id = coerce_node_id(item.nodeid + suffix)
