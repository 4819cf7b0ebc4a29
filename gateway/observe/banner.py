"""What a person sees when the gateway is up: where it listens, where data live, how to try it.

Rules: only for people on a terminal; a machine reads the `ready` event instead. The commands it
shows can be copied as they stand.
"""

import logging
import sys
from pathlib import Path

from gateway.observe.logger import is_human, log_event
from gateway.settings.config import Config
from gateway.settings.values import show_address

PROGRAM = "woodpecker-gateway"
DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where this machine reaches itself


def announce_ready(logger: logging.Logger, config: Config, port: int) -> None:
    """Say that `port` (the bound one) accepts connections: a banner for people, and the event.

    Scripts and supervisors wait for the event: its name and its fields `host` and `port` stay.
    """
    level = logging.INFO
    if sys.stderr.isatty() and is_human(config.log_format, sys.stderr):
        sys.stderr.write(banner(config, port) + "\n")
        sys.stderr.flush()
        level = logging.DEBUG  # the banner has said it
    host, advertised_port = config.advertised(port)
    log_event(
        logger,
        level,
        "ready",
        host=config.listen_host,
        port=port,
        advertised=show_address(host, advertised_port),
        data=config.data,
        mode=config.mode,
    )


def banner(config: Config, port: int) -> str:
    """The banner's text, without a final newline."""
    listening = show_address(config.listen_host, port)
    advertised = show_address(*config.advertised(port))
    own_host = _WILDCARDS.get(config.listen_host, config.listen_host)
    rows = [("listens on", listening)]
    if advertised != listening:
        rows.append(("clients use", advertised))
    rows.append(("data", _data(config)))
    rows.append(("durable by", _durability(config)))
    lines = ["", "Woodpecker Gateway is ready: a Kafka broker for any Kafka client.", ""]
    lines += [f"  {name:<12} {value}" for name, value in rows]
    lines += ["", "  Try it from another terminal:"]
    lines += [f"    {command}" for command in commands_to_try(show_address(own_host, port))]
    lines += ["", f"  Your own client: bootstrap.servers={advertised}    Stop: Ctrl-C", ""]
    return "\n".join(lines)


def commands_to_try(bootstrap: str) -> list[str]:
    """Two commands that write and read back a record through the broker at `bootstrap`."""
    where = "" if bootstrap == DEFAULT_BOOTSTRAP else f" --bootstrap {bootstrap}"
    program = _program()
    return [
        f"echo hello | {program} produce greetings{where}",
        f"{program} consume greetings --from-beginning{where}",
    ]


def _program() -> str:
    """How this program was called, so that the commands can be copied as they stand."""
    called = Path(sys.argv[0])
    if called.name == PROGRAM:
        import shutil  # noqa: PLC0415 - and with it all ways to compress, for a person's eyes alone

        return PROGRAM if shutil.which(PROGRAM) == sys.argv[0] else sys.argv[0]
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m gateway"
    return PROGRAM


def _data(config: Config) -> str:
    if config.in_memory:
        return "in memory: gone when this process ends"
    if config.in_bucket:
        return config.data + (f" at {config.endpoint}" if config.endpoint else "")
    return str(Path(config.data).absolute())


def _durability(config: Config) -> str:
    if config.in_memory:
        return "nothing (memory only)"
    if config.mode == "file":
        return "append and fdatasync before each ack (mode file)"
    if config.in_bucket:
        return f"one object per block before each ack (mode object, preset {config.flush_preset})"
    return "one synced object per block before each ack (mode object)"
