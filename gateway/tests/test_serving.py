"""What the process around a gateway says when it ends. Its life is tested from outside."""

import json

import pytest

from gateway.observe.logger import JsonFormatter
from gateway.serving import EXIT_FAILED, run
from gateway.settings.config import Config
from wal_core import Corrupt, Fenced, Unavailable, WalError


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Fenced("taken"), "another broker took over ./here: give each broker a --data of its own"),
        (Corrupt("bad"), "`woodpecker-gateway fsck --data ./here` lists what is damaged"),
        (Unavailable("locked; stop that one first"), None),
    ],
)
def test_the_last_words_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: WalError,
    remedy: str | None,
) -> None:
    async def serve(*_: object) -> None:
        raise error

    monkeypatch.setattr("gateway.serving._serve", serve)
    assert run(Config(data="./here")) == EXIT_FAILED
    (record,) = caplog.records
    said = json.loads(JsonFormatter().format(record))
    assert (said["reason"], said.get("remedy")) == (str(error), remedy)
