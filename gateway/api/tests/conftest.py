"""What tests of several APIs share."""

import pytest

from gateway.net.connection import Connection
from protocol import small_produce


@pytest.fixture(params=["at once", "at once, in Python", "by a task"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a small produce may go: each keeps the same rules and has the same answers."""
    if request.param == "by a task":
        monkeypatch.setattr(Connection, "_begin_at_once", lambda *_: False)
    elif request.param == "at once, in Python":
        monkeypatch.setattr(small_produce, "COMPILED", None)
        monkeypatch.setattr(small_produce, "RECORDS", None)
