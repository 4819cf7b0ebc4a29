"""What is counted of a logstore is shown, every row of it, and by names of the table."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from gateway.logstores.hosted import HostedLogstore
from gateway.metrics.logstore_pages import LogstorePages, logstore_samples
from gateway.metrics.table import METRICS
from gateway.settings.config import Config
from wal_core import SystemRng


def bound() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


async def test_all_rows_are_shown(tmp_path: Path) -> None:
    hosted = HostedLogstore(Config(logstore_data=str(tmp_path)), SystemRng())
    await hosted.start(bound(), None)
    await hosted.served.store.join(3, 1, bytes(16))
    pages, listener = LogstorePages(hosted), bound()
    await pages.listen(listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    names = {sample.name for sample in logstore_samples(hosted)}
    assert names == {name for name in METRICS if name.startswith("woodpecker_logstore_")}
    assert "\nwoodpecker_logstore_logs 1.0\n" in text
    assert f"\nwoodpecker_logstore_limit_bytes {hosted.served.store.bytes_max:.10e}"[:50] in text
    await pages.close()
    await hosted.close()
