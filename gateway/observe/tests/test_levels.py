import logging
from collections.abc import Iterator

import pytest

from gateway.observe.levels import LEVELS, ROOT, exists, levels, set_level, unset_level

NAME = "gateway.observe.levels_tested"
logger = logging.getLogger(NAME + ".below")
above = logging.getLogger(NAME)


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    level = logging.root.level
    yield
    logging.root.setLevel(level)
    above.setLevel(logging.NOTSET)


def test_a_level_holds_for_what_is_below_until_it_is_unset() -> None:
    set_level(ROOT, "ERROR")
    assert dict(levels())[NAME] == "ERROR"
    set_level(NAME, "DEBUG")
    assert logger.isEnabledFor(logging.DEBUG)
    assert (dict(levels())[NAME], dict(levels())[logger.name]) == ("DEBUG", "DEBUG")
    unset_level(NAME)
    assert not logger.isEnabledFor(logging.INFO)


@pytest.mark.parametrize("level", LEVELS)
def test_each_of_kafkas_levels_is_shown_as_it_was_set(level: str) -> None:
    set_level(NAME, level)
    assert dict(levels())[NAME] == level


def test_only_loggers_that_are_there() -> None:
    assert exists(ROOT) and exists(NAME)
    assert not exists("gateway.no_such_logger")
    assert "gateway.no_such_logger" not in dict(levels())
