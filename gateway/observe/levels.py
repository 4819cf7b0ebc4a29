"""Levels of our loggers under Kafka's names (KIP-412), seen and changed while the gateway runs.

They last as long as the process: the next one begins with its settings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

ROOT = "root"
_BY_NAME = {
    "TRACE": 5,  # nothing is that unimportant: like DEBUG
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}
LEVELS = tuple(_BY_NAME)


def levels() -> Iterator[tuple[str, str]]:
    """Every logger and the least important level that it lets through."""
    yield ROOT, _name(logging.root.level)
    for name, logger in sorted(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            yield name, _name(logger.getEffectiveLevel())


def exists(name: str) -> bool:
    """Whether there is such a logger."""
    return name == ROOT or isinstance(logging.root.manager.loggerDict.get(name), logging.Logger)


def set_level(name: str, level: str) -> None:
    """Let a logger that exists let through one of LEVELS and what is more important."""
    _logger(name).setLevel(_BY_NAME[level])


def unset_level(name: str) -> None:
    """Let a logger that exists, and is not the root, go by the one above it again."""
    _logger(name).setLevel(logging.NOTSET)


def _logger(name: str) -> logging.Logger:
    return logging.root if name == ROOT else logging.getLogger(name)


def _name(level: int) -> str:
    return next((name for name, number in _BY_NAME.items() if level <= number), "FATAL")
