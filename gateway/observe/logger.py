"""Diagnostics: one event per line, for people on a terminal, as JSON objects everywhere else.

Rules: an event has a short fixed name and its facts as fields, so that a machine can find it and a
person can read it; nothing per request at info. Values that come from a client are cut and escaped:
they can neither forge a line nor flood the disk. Standard logging underneath, so libraries join in.
JSON keys `ts` (UTC, milliseconds), `level`, `event` and `logger` are taken; fields stand beside.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["auto", "human", "json"]

# Long enough for any name Kafka allows (249) and for a path; a client id may be 32 KB of anything.
VALUE_CHARS_MAX = 500
_FIELDS = "event_fields"  # the attribute of a LogRecord that carries the fields
_RESERVED = frozenset({"ts", "level", "event", "logger", "traceback"})
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_DIM, _RESET = "\x1b[2m", "\x1b[0m"


def log_event(
    logger: logging.Logger,
    level: int,
    event: str,
    *,
    error: BaseException | None = None,
    **fields: object,
) -> None:
    """Log one event with its facts, an error among them as what it says; `error` adds the
    traceback. Cheap when the level is off."""
    if logger.isEnabledFor(level):
        assert _RESERVED.isdisjoint(fields), "a field may not replace what every line has"
        said = {name: _said(value) for name, value in fields.items()}
        logger.log(level, event, exc_info=error, extra={_FIELDS: said})


def setup_logging(
    level: str,
    style: Format = "auto",
    stream: TextIO | None = None,
    *,
    always: Mapping[str, object] | None = None,
) -> None:
    """Send all events of `level` and above to `stream` (stderr). Replaces what was there. Every
    line has the fields of `always`, unless it says them itself."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    if is_human(style, stream):
        handler.setFormatter(HumanFormatter(colour=_has_colour(stream)))
    else:
        handler.setFormatter(JsonFormatter())
    if always:
        handler.addFilter(_Marker(always))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))


def _said(value: object) -> object:
    """Errors of the interpreter may have no text, those of a deadline never have one."""
    if not isinstance(value, BaseException):
        return value
    if isinstance(value, TimeoutError) and not str(value):
        return "it took too long"
    return str(value) or type(value).__name__


class _Marker(logging.Filter):
    """Gives every event some fields more."""

    def __init__(self, always: Mapping[str, object]) -> None:
        super().__init__()
        self._always = dict(always)

    def filter(self, record: logging.LogRecord) -> bool:
        setattr(record, _FIELDS, self._always | _fields(record))
        return True


def is_human(style: Format, stream: TextIO) -> bool:
    """Whether lines on this stream are meant for people."""
    return style == "human" or (style == "auto" and stream.isatty())


def _has_colour(stream: TextIO) -> bool:
    # https://no-color.org: present and not empty, whatever its value.
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": _utc(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": _cut(record.getMessage()),
            "logger": record.name,
        }
        for name, value in _fields(record).items():
            plain = value is None or isinstance(value, bool | int | float)
            line[name] = value if plain else _cut(str(value))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class HumanFormatter(logging.Formatter):
    """`12:30:01 warning  event  name=value name="two words"`, the traceback below."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        clock = _utc(record).astimezone().strftime("%H:%M:%S")
        facts = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        event = _escaped(_cut(record.getMessage()))
        if self._colour:
            colour = _COLOURS.get(level, "")
            clock, facts = f"{_DIM}{clock}{_RESET}", f"{_DIM}{facts}{_RESET}" if facts else ""
            level, event = f"{colour}{level:<7}{_RESET}", f"{colour}{event}{_RESET}"
        line = f"{clock} {level:<7}  {event}" + (f"  {facts}" if facts else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _utc(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "…"


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _quoted(value: object) -> str:
    text = _cut(str(value))
    plain = text and text.isprintable() and not any(c in text for c in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
