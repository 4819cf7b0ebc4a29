"""A fight per test, over a log of its own."""

from collections.abc import Iterator

import pytest

from compat_tests.fights.fighter import Fight, fight_over
from wal_core.testing.s3_server import S3Server


@pytest.fixture
def fight(s3_server: S3Server, topic: str) -> Iterator[Fight]:
    with fight_over(s3_server, f"s3://compat/fight-{topic}") as fight:
        yield fight
