import io
import json
import logging
import shlex
import sys

import pytest

from gateway.observe.banner import announce_ready, banner, commands_to_try
from gateway.observe.logger import setup_logging
from gateway.settings.config import Config

logger = logging.getLogger("gateway.observe.tests")


def test_the_banner_says_where_how_and_how_to_stop() -> None:
    text = banner(Config(), 9092)
    assert "127.0.0.1:9092" in text
    assert "/data" in text
    assert "fdatasync" in text
    assert "Ctrl-C" in text
    assert "clients use" not in text  # nothing else is advertised
    assert "--bootstrap" not in text  # the default needs no flag


def test_the_banner_names_what_differs_from_the_defaults() -> None:
    config = Config(
        listen_host="0.0.0.0",
        listen_port=0,
        advertised_host="kafka.example.org",
        advertised_port=443,
        data="memory:",
    )
    text = banner(config, 4242)
    assert "kafka.example.org:443" in text
    assert "--bootstrap 127.0.0.1:4242" in text
    assert "gone when this process ends" in text


def test_every_line_fits_a_terminal() -> None:
    assert all(len(line) <= 80 for line in banner(Config(data="memory:"), 9092).splitlines())


@pytest.mark.parametrize(
    ("called", "program"),
    [
        ("/usr/bin/woodpecker-gateway", "/usr/bin/woodpecker-gateway"),
        ("/somewhere/gateway/__main__.py", "-m gateway"),
        ("/usr/bin/pytest", "woodpecker-gateway"),
    ],
)
def test_commands_are_shown_as_this_program_was_called(
    called: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    for command in commands_to_try("127.0.0.1:9092"):
        assert f"{program} " in command
        assert shlex.split(command.split("|")[-1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_gets_the_banner_and_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    setup_logging("info")
    announce_ready(logger, Config(), 4242)
    assert "is ready" in stderr.getvalue()
    assert "advertised=" not in stderr.getvalue()


def test_a_person_who_wants_json_gets_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    setup_logging("info", "json")
    announce_ready(logger, Config(log_format="json"), 4242)
    assert json.loads(stderr.getvalue())["event"] == "ready"


def test_a_machine_gets_the_event_and_no_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    setup_logging("info")
    announce_ready(logger, Config(), 4242)
    line = json.loads(stderr.getvalue())
    assert (line["event"], line["port"]) == ("ready", 4242)
    assert line["advertised"] == "127.0.0.1:4242"
