"""`cluster`: who is there and who owns what, as etcd has it; orders to move logs, to spare nodes.

Asks etcd alone, so it also works while no broker does. What is ordered is done by the brokers.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import click

from gateway.cli.errors import ClientError
from gateway.cli.options import HELP, with_timeout
from gateway.cli.serve import option_parameter
from gateway.cli.tables import show_table
from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = [option for option in OPTIONS if option.key.startswith("etcd")]


def _asking(command: F) -> F:
    """Add the settings of etcd, --cluster-id and --timeout."""
    command = with_timeout("How long to wait until it is done.")(command)
    command = click.option(
        "--cluster-id", default=None, help="Which cluster, where etcd has several."
    )(command)
    shown: Any = command
    # The last one is shown first.
    shown.__click_params__ += [option_parameter(option) for option in reversed(_OPTIONS)]
    return command


@click.group(context_settings=HELP)
def cluster() -> None:
    """Show the brokers of a cluster and who owns which log; move logs, spare brokers.

    Where etcd is comes from the same flags and environment as for `serve`.
    """


@cluster.command(context_settings=HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_asking
def show(as_json: bool, **flags: Any) -> None:
    """Show brokers, logs, owners, terms, and who fenced whom."""
    from gateway.cli import cluster_view  # noqa: PLC0415 - after the help

    async def look(at: "cluster_view.Cluster") -> "cluster_view.State":
        return await at.state()

    state = _ask(flags, look)
    if as_json:
        click.echo(json.dumps(cluster_view.as_json(state)))
        return
    paused = "; moves are paused" if state.is_paused else ""
    click.echo(f"cluster {state.cluster_id}{paused}")
    show_table(cluster_view.nodes_table(state))
    if state.logs:
        click.echo("")
        show_table(cluster_view.logs_table(state))


@cluster.command(context_settings=HELP)
@click.argument("log", type=click.IntRange(0))
@click.argument("node", type=click.IntRange(0))
@_asking
def move(log: int, node: int, **flags: Any) -> None:
    """Have LOG served by NODE, and wait until it is.

    It stays there as long as brokers have their shares; `cluster pause` keeps it in any case.
    """
    term = _ask(flags, lambda at: at.move(log, node))
    click.echo(f"log {log} is served by node {node}, under term {term}")


@cluster.command(context_settings=HELP)
@_asking
def pause(**flags: Any) -> None:
    """Let no log move that need not: as brokers come, go and fill up."""
    _ask(flags, lambda at: at.pause(wanted=True))
    click.echo("moves are paused; logs without an owner still get one")


@cluster.command(context_settings=HELP)
@_asking
def resume(**flags: Any) -> None:
    """Let logs move again."""
    _ask(flags, lambda at: at.pause(wanted=False))
    click.echo("moves go on")


@cluster.command(context_settings=HELP)
@click.argument("node", type=click.IntRange(0))
@_asking
def cordon(node: int, **flags: Any) -> None:
    """Give NODE no more logs; it keeps those it has."""
    _stand(node, "cordoned", flags)


@cluster.command(context_settings=HELP)
@click.argument("node", type=click.IntRange(0))
@_asking
def drain(node: int, **flags: Any) -> None:
    """Have NODE give all its logs to others, and wait until it has."""
    _stand(node, "draining", flags)


@cluster.command(context_settings=HELP)
@click.argument("node", type=click.IntRange(0))
@_asking
def uncordon(node: int, **flags: Any) -> None:
    """Take back `cordon` or `drain`."""
    _stand(node, None, flags)


def _stand(node: int, standing: str | None, flags: dict[str, Any]) -> None:
    alive = _ask(flags, lambda at: at.stand(node, standing))
    said = f"is {standing or 'open'}"
    if not alive:
        said += ", once it is there: it is not now"
    elif standing == "draining":
        said = "has given away all its logs, and gets none"
    click.echo(f"node {node} {said}")


class _Asked(NamedTuple):
    config: Config
    cluster_id: str | None
    timeout_s: float


R = TypeVar("R")


def _ask(flags: dict[str, Any], what: Callable[[Any], Awaitable[R]]) -> R:
    timeout_ms, cluster_id = flags.pop("timeout_ms"), flags.pop("cluster_id")
    # Data are not asked: the environment may name them, with a mode that fits them.
    environ = {k: v for k, v in os.environ.items() if k.upper() not in _OF_DATA}
    config = load_config({**flags, "mode": "object"}, environ)
    asked = _Asked(config, cluster_id, timeout_ms / 1000)
    return asyncio.run(_connected(asked, what))


_OF_DATA = frozenset({"WOODPECKER_DATA", "WOODPECKER_MODE"})


async def _connected(asked: _Asked, what: Callable[[Any], Awaitable[R]]) -> R:
    from gateway.cli.cluster_view import Cluster  # noqa: PLC0415
    from gateway.cluster.coordination.base import CoordinationError, Refused  # noqa: PLC0415
    from gateway.cluster.coordination.opening import open_store  # noqa: PLC0415

    store = open_store(asked.config)
    try:
        async with asyncio.timeout(asked.timeout_s):
            return await what(await Cluster.find(store, asked.config.etcd_prefix, asked.cluster_id))
    except Refused as error:
        raise ClientError(str(error), "--etcd-user and --etcd-password-file") from None
    except CoordinationError as error:
        raise ClientError(str(error), "whether etcd runs and can be reached; --etcd") from None
    except TimeoutError:
        said = f"it was not done within {asked.timeout_s:g} s; what was ordered stays ordered"
        raise ClientError(
            said, "`woodpecker-gateway cluster show`, and the brokers' logs"
        ) from None
    finally:
        await store.close()
