"""`logstore`: one of three that keep the tails of logs for brokers of quorum mode, by itself."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from typing import Any

import click

from gateway.cli.options import HELP
from gateway.cli.serve import option_parameter
from gateway.observe.logger import log_event, setup_logging
from gateway.settings.config import Config, ConfigError
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS
from gateway.settings.values import Option

logger = logging.getLogger(__name__)

_OWN = "logstore_"
_SHARED = {
    "disk_free_bytes_min",
    "disk_reserve_bytes",
    "rack",
    "node_lease_ms",
    "metrics_listen",
    "log_level",
    "log_format",
    "event_loop",
}
_OPTIONS = [
    option for option in OPTIONS if option.key.startswith((_OWN, "etcd")) or option.key in _SHARED
]


def _parameter(option: Option) -> click.Option:
    """Its own settings go without the word before them: --data, not --logstore-data."""
    if not option.key.startswith(_OWN):
        return option_parameter(option)
    short = option._replace(flag_name=option.key.removeprefix(_OWN).replace("_", "-"))
    return option_parameter(short)


def _logstore(config_file: str | None, **flags: Any) -> int:
    if not flags["logstore_data"] and not os.environ.get("WOODPECKER_LOGSTORE_DATA"):
        raise click.UsageError("--data is missing: the folder of the logstore")
    # Whatever the settings say of a broker in this place, there is none.
    given = {**flags, "config": config_file, "data": "./data", "mode": "object"}
    config = load_config({**given, "workers_count": 1}, os.environ)
    setup_logging(config.log_level, config.log_format)
    return run(config)


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    # A wrong setting is reported without loading these.
    from gateway.cluster.coordination.base import CoordinationError  # noqa: PLC0415
    from gateway.net.listening import StartError  # noqa: PLC0415
    from gateway.serving import EXIT_FAILED, EXIT_OK, loop_factory  # noqa: PLC0415
    from wal_core import WalError  # noqa: PLC0415

    try:
        with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
            runner.run(_serve(config))
    except (StartError, WalError, CoordinationError, ConfigError) as error:
        log_event(logger, logging.ERROR, "logstore failed", reason=error)
        return EXIT_FAILED
    return EXIT_OK


async def _serve(config: Config) -> None:
    from gateway.logstores.hosted import hosted_as_set  # noqa: PLC0415
    from gateway.net.listening import bind  # noqa: PLC0415
    from gateway.serving import bind_logstore, set_by_signals  # noqa: PLC0415
    from wal_core import SystemRng  # noqa: PLC0415

    stopping = set_by_signals()
    async with AsyncExitStack() as stack:
        listener = bind_logstore(config, "--listen")
        hosted = await stack.enter_async_context(hosted_as_set(config, SystemRng(), listener))
        if config.metrics_listen_host is not None and config.metrics_listen_port is not None:
            from gateway.metrics.logstore_pages import LogstorePages  # noqa: PLC0415

            pages = LogstorePages(hosted)
            stack.push_async_callback(pages.close)
            address = (config.metrics_listen_host, config.metrics_listen_port)
            await pages.listen(bind(*address, "--metrics-listen"))
        await stopping.wait()
    log_event(logger, logging.INFO, "stopped")


logstore = click.Command(
    "logstore",
    callback=_logstore,
    params=[
        *(_parameter(option) for option in _OPTIONS),
        click.Option(["--config", "config_file"], help="Read settings from a TOML file."),
    ],
    context_settings=HELP,
    help="""Keep the tails of logs for brokers of quorum mode, until Ctrl-C or SIGTERM.

    Three of them on three machines keep what is not in the bucket yet; two that have written a
    record down make it durable. See docs/quorum.md.

    \b
    One that brokers find in etcd:
        woodpecker-gateway logstore --data /var/lib/logstore --listen 10.0.0.1:9192 \\
            --rack eu-1a --etcd http://10.0.0.1:2379
    """,
)
