"""What must hold for any file that a person hands to the gateway: settings, histories.

`decode_x` may refuse, with the error its docstring names; `check_x` takes what was accepted and may
not fail.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.verify import load_history, verify
from gateway.verify.model import History
from wal_core.testing.scratch import scratch_folder

# --- settings ------------------------------------------------------------------------------------


def config_seeds() -> Iterator[tuple[str, bytes]]:
    yield (
        "file",
        b'listen = "127.0.0.1:9092"\nblock_bytes_max = "4MiB"\nauto_create_topics = false\n',
    )
    yield "environment", b"\x00WOODPECKER_DATA=memory:\nWOODPECKER_LOG_LEVEL=debug\n"


def decode_config(data: bytes) -> Config:
    """A TOML file, a zero byte, lines of an environment. Raises ConfigError."""
    content, _, environment = data.partition(b"\x00")
    lines = environment.decode("utf-8", "surrogateescape").split("\n")
    environ = dict(line.split("=", 1) for line in lines if "=" in line)
    environ.pop("WOODPECKER_CONFIG", None)  # there are other files on this machine
    with scratch_folder() as folder:
        path = folder / "woodpecker.toml"
        path.write_bytes(content)
        return load_config({"config": str(path)}, environ)


def check_config(config: Config) -> None:
    """A Config that exists is valid: another one can be made of it."""
    assert dataclasses.replace(config) == config


# --- recorded histories --------------------------------------------------------------------------

_HISTORY = (
    {"type": "history", "version": 1},
    {"type": "invoke", "process": 0, "f": "send", "time_ms": 1, "value": [["send", "t-0", 7]]},
    {"type": "ok", "process": 0, "f": "send", "time_ms": 2, "value": [["send", "t-0", [0, 7]]]},
    {"type": "invoke", "process": 1, "f": "poll", "time_ms": 3, "value": [["poll"]]},
    {
        "type": "ok",
        "process": 1,
        "f": "poll",
        "time_ms": 4,
        "value": [["poll", {"t-0": [[0, 7]]}]],
        "observed": {"t-0": {"high_watermark": 1}},
    },
    {"type": "event", "event": "crash", "time_ms": 5},
    {"type": "bucket", "listed": ["a"], "named": ["a"], "time_ms": 6},
)


def history_seeds() -> Iterator[tuple[str, bytes]]:
    yield "sent-and-read", b"".join(json.dumps(line).encode() + b"\n" for line in _HISTORY)


def decode_history(data: bytes) -> History:
    """Lines of JSON. Raises Unreadable."""
    return load_history(data.splitlines(keepends=True))


def check_history(history: History) -> None:
    """Any history that can be read can be judged, and the verdict told."""
    report = verify(history)
    assert list(report.text())
    json.dumps(report.as_json())
