"""`logstore` takes its settings by short names, serves, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import logstore as command
from gateway.cli.main import run
from gateway.settings.config import Config


def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path / "ls"), "--listen", "127.0.0.1:0", "--log-format", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "logstore", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    ready = json.loads(process.stderr.readline())
    assert ready["event"] == "logstore ready"
    assert ready["port"] > 0
    assert len(ready["disk"]) == 32
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(said.splitlines()[-1])["event"] == "stopped"
    assert (tmp_path / "ls" / "disk").exists()


def test_short_names_are_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Config] = []

    def note(config: Config) -> int:
        ran.append(config)
        return 0

    monkeypatch.setattr(command, "run", note)
    words = "--data ls --listen 10.0.0.1:5 --bytes-max 1GiB --rack r --etcd http://e:1"
    assert run(["logstore", *words.split()]) == 0
    (config,) = ran
    assert (config.logstore_data, config.logstore_listen_host, config.logstore_listen_port) == (
        "ls",
        "10.0.0.1",
        5,
    )
    assert (config.logstore_bytes_max, config.rack, config.etcd) == (1 << 30, "r", "http://e:1")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "--data is missing"),
        ("--data s3://bucket/x", "a folder on a disk"),
        ("--data ls --listen 0.0.0.0:1 --etcd http://e:1", "names no machine"),
        ("--data ls --bytes-max few", "a size such as"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["logstore", *words.split()]) == 2
    assert says in capsys.readouterr().err
