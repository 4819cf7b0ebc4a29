import asyncio
import logging

import pytest

from gateway.net.closings import ADDRESSES_MAX_COUNT, QUIET_S, Closings
from gateway.tests.harness import virtual


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno == logging.WARNING]


def test_an_address_is_warned_of_once_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="gateway.net.closings")

    @virtual
    async def body() -> None:
        closings = Closings()
        for _ in range(100):
            closings.tell("192.0.2.1", "it speaks TLS")
        closings.tell("192.0.2.2", "it speaks TLS")
        assert len(_warnings(caplog)) == 2
        assert len(caplog.records) == 101
        await asyncio.sleep(QUIET_S)
        closings.tell("192.0.2.1", "it speaks TLS")
        assert len(_warnings(caplog)) == 3

    body()


def test_what_is_remembered_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def body() -> None:
        closings = Closings()
        for number in range(3 * ADDRESSES_MAX_COUNT):
            closings.tell(f"host-{number}", "why")
        assert len(closings._told) == ADDRESSES_MAX_COUNT

    body()
