import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway.observe.logger import VALUE_CHARS_MAX, log_event, setup_logging

logger = logging.getLogger("gateway.observe.tests")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_time_level_event_and_fields() -> None:
    out = io.StringIO()
    setup_logging("info", "auto", out)
    log_event(logger, logging.INFO, "ready", port=9092, host="localhost", tls=False, note=None)
    line = json.loads(out.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "ready",
        "logger": "gateway.observe.tests",
        "port": 9092,
        "host": "localhost",
        "tls": False,
        "note": None,
    }
    assert '"event": "ready"' in out.getvalue()  # what scripts look for, spelled like this
    assert out.getvalue().count("\n") == 1


def test_lines_for_people_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    setup_logging("info", "auto", terminal)
    log_event(logger, logging.WARNING, "slow store", took_ms=12)
    assert "\x1b[33m" in terminal.getvalue()
    setup_logging("info", "human", pipe)
    log_event(logger, logging.WARNING, "slow store", took_ms=12)
    assert pipe.getvalue()[8:] == " warning  slow store  took_ms=12\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_switched_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    terminal = Terminal()
    setup_logging("info", "auto", terminal)
    log_event(logger, logging.ERROR, "lost", log=1)
    assert "\x1b" not in terminal.getvalue()
    assert "error    lost  log=1" in terminal.getvalue()


@pytest.mark.parametrize("style", ["human", "json"])
def test_a_client_can_neither_forge_a_line_nor_flood_the_log(style: str) -> None:
    out = io.StringIO()
    setup_logging("info", style, out)  # type: ignore[arg-type]
    log_event(logger, logging.INFO, "refused", client_id="x\n12:00:00 error  forged\x1b[31m")
    log_event(logger, logging.INFO, "refused\nforged", client_id="y" * 100_000)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b" not in out.getvalue()
    assert all(len(line) < VALUE_CHARS_MAX + 200 for line in lines)


@pytest.mark.parametrize("style", ["human", "json"])
def test_an_error_brings_its_traceback(style: str) -> None:
    out = io.StringIO()
    setup_logging("info", style, out)  # type: ignore[arg-type]
    try:
        raise RuntimeError("told you")
    except RuntimeError as e:
        log_event(logger, logging.ERROR, "failed", error=e)
    assert "RuntimeError: told you" in out.getvalue()
    assert "test_logger.py" in out.getvalue()


def test_levels_below_the_chosen_one_are_silent_and_libraries_join_in() -> None:
    out = io.StringIO()
    setup_logging("warning", "json", out)
    log_event(logger, logging.INFO, "unheard")
    logging.getLogger("some.library").warning("heard %d", 1)
    assert json.loads(out.getvalue())["event"] == "heard 1"


def test_an_error_among_the_facts_always_says_something() -> None:
    stream = io.StringIO()
    setup_logging("info", "json", stream)
    for error in (ValueError("bad"), TimeoutError(), TimeoutError("late"), ConnectionResetError()):
        log_event(logger, logging.INFO, "failed", reason=error)
    reasons = [json.loads(line)["reason"] for line in stream.getvalue().splitlines()]
    assert reasons == ["bad", "it took too long", "late", "ConnectionResetError"]


def test_a_field_may_not_replace_what_every_line_has() -> None:
    setup_logging("info", "json", io.StringIO())
    with pytest.raises(AssertionError):
        log_event(logger, logging.INFO, "x", ts=1)


def test_the_gateway_logs_in_one_way() -> None:
    """As events with fields, which machines read; sentences with parts put in are for nobody."""
    root = Path(gateway.__file__).parent
    otherwise = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in sorted(root.rglob("*.py"))
        if not {"tests", "testing"} & set(path.relative_to(root).parts)
        for line in path.read_text().splitlines()
        if re.search(r"\blogger\.(debug|info|warning|error|exception|critical)\(", line)
    ]
    assert otherwise == []


def test_what_every_line_has_gives_way_to_what_an_event_says_itself() -> None:
    out = io.StringIO()
    setup_logging("info", "json", out, always={"node": 3})
    log_event(logger, logging.INFO, "stopping")
    log_event(logger, logging.INFO, "lease lost", node=4)
    assert [json.loads(line)["node"] for line in out.getvalue().splitlines()] == [3, 4]
