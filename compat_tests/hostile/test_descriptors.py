"""More idle sockets than the process may have open: who is served goes on being served."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from compat_tests.support.gateway import Gateway, default_command
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, produce

LIMIT_COUNT = 160
IDLE_COUNT = 2 * LIMIT_COUNT


def _limited(how: str, command: list[str] | None) -> list[str]:
    """The command, run where `ulimit` has set the limit on open files."""
    shell = f'ulimit {how} {LIMIT_COUNT} && exec "$@"'
    return ["sh", "-c", shell, "sh", *(command or default_command())]


@pytest.mark.parametrize("how", ["-n", "-S -n"])
@pytest.mark.parametrize("kind", ["file", "object"])
def test_idle_sockets_do_not_keep_the_log_from_its_next_segment(
    how: str, kind: str, tmp_path: Path, serve_command: list[str] | None
) -> None:
    """Refused before that where the limit is hard, and all taken where it can be raised."""
    command = _limited(how, serve_command)
    options = ("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB")
    with ExitStack() as stack:
        gateway = Gateway(str(tmp_path / "data"), mode=kind, command=command, options=options)
        stack.enter_context(gateway)
        busy = stack.enter_context(Connection(gateway.bootstrap))
        create_topic(busy, "t")
        idle = [stack.enter_context(Connection(gateway.bootstrap)) for _ in range(IDLE_COUNT)]
        for number in range(8):
            answer = produce(busy, "t", build([bytes(40_000)]))
            assert (answer.error_code, answer.base_offset) == (0, number)
        newest = stack.enter_context(Connection(gateway.bootstrap))
        if how == "-n":
            assert any("few file descriptors" in line for line in gateway.log)
            assert any("connection refused" in line for line in gateway.log)
            for connection in idle:
                connection.close()
        else:
            create_topic(newest, "u")
