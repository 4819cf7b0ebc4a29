"""The program of a worker: `python -m gateway.workers.worker FD`, with its assignment as input.

The descriptor is its end of the connection to the supervisor. Once that has ended it stops.
"""

from __future__ import annotations

import socket
import sys

from gateway.translated import finder


def main() -> int:
    """Serve as the supervisor says; the exit code."""
    finder.install()
    import msgspec  # noqa: PLC0415 - all others after it

    from gateway.observe.logger import setup_logging  # noqa: PLC0415
    from gateway.workers.assignment import Assignment  # noqa: PLC0415

    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    config = assignment.config
    setup_logging(config.log_level, config.log_format, always={"node": config.node_id})

    from gateway.serving import Post, run  # noqa: PLC0415 - what loading says is logged as well

    link = socket.socket(fileno=int(sys.argv[1]))
    return run(config, Post(link, assignment.host, assignment.port))


if __name__ == "__main__":
    sys.exit(main())
