"""`recover`: a broker's bucket from a copy of it that lacks some of the newest objects.

Takes the very flags of `serve`. First it says what of each log is whole and what would be given up,
and with --yes that becomes the data.
"""

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.cli.errors import complain
from gateway.cli.serve import SettingsCommand, setting_parameters
from gateway.settings.config import Config
from gateway.settings.load import load_config

if TYPE_CHECKING:
    from gateway.cli.stream_names import StreamNames
    from wal_core import CutLog, GivenUpTail


class _Cut(NamedTuple):
    """Of one log."""

    log: "CutLog"
    names: "StreamNames"


class _GivenUp(NamedTuple):
    """Of one log in mode quorum."""

    tail: "GivenUpTail"
    names: "StreamNames"


def _recover(dry_run: bool, yes: bool, **flags: Any) -> int:
    if dry_run and yes:
        raise click.UsageError("--dry-run writes nothing, --yes does: give one of them.")
    config = load_config(flags, os.environ)

    from wal_core import WalError  # noqa: PLC0415 - after the help

    try:
        if (tails := asyncio.run(_give_up_tails(config, to_commit=yes))) is not None:
            for line in _told_of_tails(tails, config.data, done=yes):
                click.echo(line)
            return 0
        cuts = asyncio.run(_run(config, to_commit=yes))
    except WalError as error:
        remedy = "`woodpecker-gateway recover --help`; what is damaged, `fsck --repair` repairs"
        complain(str(error), remedy)
        return 1
    for line in _told(cuts, config.data, done=yes):
        click.echo(line)
    return 0


async def _give_up_tails(config: Config, *, to_commit: bool) -> "list[_GivenUp] | None":
    """Of all logs of a cluster in mode quorum, the catalog last; None for any other mode."""
    from gateway.cli.stream_names import StreamNames  # noqa: PLC0415
    from gateway.settings.log_settings import cloud_settings, log_config  # noqa: PLC0415
    from wal_core import (  # noqa: PLC0415
        SystemClock,
        SystemRng,
        give_up_tail,
        open_to_look,
        stored_log_ids,
    )

    rng = SystemRng()
    store = await open_to_look(config.data, cloud=cloud_settings(config), rng=rng)
    found = []
    try:
        if store.mode != "quorum":
            return None
        seen = log_config(config, store.mode)
        for log_id in sorted(await stored_log_ids(store, seen, rng), reverse=True):
            names = StreamNames(log_id)
            own = dataclasses.replace(seen, log_id=log_id)
            told = await give_up_tail(
                store.objects, names.new(), own, clock=SystemClock(), rng=rng, to_commit=to_commit
            )
            found.append(_GivenUp(told, names))
    finally:
        await store.close()
    return found


def _told_of_tails(tails: "Sequence[_GivenUp]", data: str, *, done: bool) -> Iterator[str]:
    for tail, names in sorted(tails, key=lambda one: one.tail.log_id):
        yield (
            f"log {tail.log_id}: what was uploaded is kept; given up is what logstores "
            f"{', '.join(tail.stores) or 'had'} alone had, however much that was; it goes on with "
            f"segment {tail.next_segment}"
        )
        for stream_id, end in sorted(tail.ends.items()):
            yield f"  {names.names.get(stream_id, f'stream {stream_id}')}: kept up to offset {end}"
    if done:
        yield f"{data}: recovered; start brokers and three logstores, old ones or new ones"
        return
    yield "Nothing was written. If two of three logstores are still there, start them instead:"
    yield "nothing is lost then. Else stop all brokers, and repeat with --yes."


async def _run(config: Config, *, to_commit: bool) -> list[_Cut]:
    """All logs, the catalog last: what was not come to is cut by a repetition."""
    from gateway.cli.stream_names import StreamNames  # noqa: PLC0415
    from gateway.settings.log_settings import cloud_settings, log_config  # noqa: PLC0415
    from wal_core import (  # noqa: PLC0415
        Invalid,
        SystemClock,
        SystemRng,
        cut_log,
        open_store,
        open_to_look,
        stored_log_ids,
    )

    rng = SystemRng()
    cloud = cloud_settings(config)
    store = await open_to_look(config.data, cloud=cloud, rng=rng)
    try:
        mode = store.mode
        log_ids = await stored_log_ids(store, log_config(config, mode), rng)
    finally:
        await store.close()
    if not log_ids:
        raise Invalid(f"{config.data} holds no log")
    if to_commit:
        store = await open_store(config.data, mode, cloud=cloud)
    else:
        store = await open_to_look(config.data, cloud=cloud, rng=rng)
    cuts = []
    try:
        for log_id in sorted(log_ids, reverse=True):
            names = StreamNames(log_id)
            own = dataclasses.replace(log_config(config, mode), log_id=log_id)
            cut = await cut_log(
                store, names.new(), own, clock=SystemClock(), rng=rng, to_commit=to_commit
            )
            cuts.append(_Cut(cut, names))
    finally:
        await store.close()
    return cuts


def _told(cuts: Sequence[_Cut], data: str, *, done: bool) -> Iterator[str]:
    for cut, names in sorted(cuts, key=lambda one: one.log.log_id):
        yield from _told_of_log(cut, names.names)
    if done:
        yield f"{data}: recovered; `woodpecker-gateway fsck` checks it"
        return
    yield "Nothing was written. Stop the replication and whoever else writes there, and repeat"
    yield "with --yes. Then nothing of the source may be copied to it any more."


def _told_of_log(cut: "CutLog", names: dict[int, str]) -> Iterator[str]:
    prefix = cut.prefix
    yield (
        f"log {cut.log_id}: whole are {len(prefix.sealed)} sealed and {len(prefix.completed)} "
        f"completed segments, and {prefix.tail_blocks_count} blocks behind them; it goes on "
        f"with segment {cut.next_segment}"
    )
    for row in cut.given_up:
        name = names.get(row.stream_id, f"stream {row.stream_id}")
        yield f"  {name}: given up: offsets {row.first_offset} to {row.end_offset - 1}"
    for stream_id, start in sorted(cut.moved_starts.items()):
        name = names.get(stream_id, f"stream {stream_id}")
        yield f"  {name}: starts at offset {start}: what is before it was deleted at the source"
    if cut.left_count:
        yield f"  objects that do not count, to be deleted as late as fences: {cut.left_count}"


recover = SettingsCommand(
    "recover",
    callback=_recover,
    params=[
        click.Option(["--dry-run"], is_flag=True, help="Say what would be done. [the default]"),
        click.Option(["--yes"], is_flag=True, help="Do it."),
        *setting_parameters(),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Recover from a copy of a bucket that lacks some of the newest objects.

    A replica in another region lags behind, and of its newest objects any can be missing. Of each
    log the longest part that is whole from the start on is kept. What lies behind a missing object
    is given up and told, by topic partition, as far as anything shows that it was there.

    In mode quorum it is for two lost logstores: what was uploaded is kept, what these had alone is
    given up. While two of three are still there, start them instead.

    Give it the flags you give to `serve`. Without --yes nothing is written. Stop the replication,
    and have no broker running there: a bucket that changes meanwhile is refused.

    \b
    Exit code: 0 told or done, 1 it is refused, 2 used wrongly.

    \b
        woodpecker-gateway recover --data s3://replica/broker
        woodpecker-gateway recover --data s3://replica/broker --yes
    """,
)
