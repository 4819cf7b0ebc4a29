import io
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from gateway.cli.main import run
from gateway.cli.tests.fake_broker import FakeBroker


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker() as fake:
        yield fake


@pytest.fixture
def cli(
    broker: FakeBroker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """Runs a command against the broker, with `stdin` as its standard input."""

    def call(*args: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr("gateway.cli.client._BETWEEN_TRIES_MS", 0)
        code = run([*args, "--bootstrap", broker.bootstrap])
        return Outcome(code, *capsys.readouterr())

    return call
