"""For every test of the repository."""

import gc

import pytest
from hypothesis import settings

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
