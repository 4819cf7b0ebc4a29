"""That serving begins with an interpreter that does not hold up clients."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from gateway.observe.interpreter import THRESHOLDS, settle
from wal_core.stores.sharing import LONG_S

SERVE = """
import gc, os, signal, sys
import gateway.serving
from gateway.settings.config import Config

def ready(*_):
    print(round(sys.getswitchinterval(), 6), gc.get_threshold(), gc.get_freeze_count())
    os.kill(os.getpid(), signal.SIGTERM)

gateway.serving.announce_ready = ready
sys.exit(gateway.serving.run(Config(data=sys.argv[1], listen_host="127.0.0.1", listen_port=0)))
"""


def test_what_was_there_is_not_looked_at_again():
    before, interval_s = gc.get_threshold(), sys.getswitchinterval()
    try:
        settle()
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 10_000
        kept = [[number] for number in range(100)]
        assert len(gc.get_objects()) < 10_000
        assert kept
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        sys.setswitchinterval(interval_s)


def test_a_server_that_accepts_connections_has_settled(tmp_path: Path):
    process = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    thresholds, _, frozen_count = process.stdout.rpartition(" ")
    assert thresholds == f"{LONG_S} {THRESHOLDS}"
    assert int(frozen_count) > 10_000
