"""A thousand groups of one member, and one group of hundreds: joins, rebalances, heartbeats.

`python -m compat_tests.bench.groups --bootstrap HOST:PORT` measures whatever broker listens there,
so that two can be put side by side; without it a gateway in memory is started.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
from collections.abc import Callable

from compat_tests.bench.broker import gateway
from compat_tests.bench.group_load import Member, Times, connected, form, together
from compat_tests.bench.report import heading, line

HEARTBEAT_ROUNDS_COUNT = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m compat_tests.bench.groups", description=__doc__
    )
    parser.add_argument("--bootstrap", help="HOST:PORT of a running broker to measure")
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=500, help="of the one large group")
    options = parser.parse_args()
    heading(f"{options.groups} groups of one member, one of {options.members}")
    if options.bootstrap:
        asyncio.run(bench(options.bootstrap, options.groups, options.members, None))
        return
    with gateway("memory:", "object") as broker:
        cpu_s = broker.cpu_s
        asyncio.run(bench(broker.bootstrap, options.groups, options.members, cpu_s))
        line("memory afterwards", f"{broker.memory_mb():.0f} MB")


async def bench(
    bootstrap: str, groups_count: int, members_count: int, cpu_s: Callable[[], float] | None
) -> None:
    run = secrets.token_hex(3)
    small = await connected(bootstrap, [f"small-{run}-{n}" for n in range(groups_count)])
    large = await connected(bootstrap, [f"large-{run}"] * members_count)

    def spent() -> float:
        return 0.0 if cpu_s is None else cpu_s()

    def tell(what: str, times: Times, before_s: float) -> None:
        each = f"p50 {times.p50_ms:.1f} ms", f"p99 {times.p99_ms:.1f} ms"
        cpu = () if cpu_s is None else (f"CPU {spent() - before_s:.2f} s",)
        line(what, f"{times.total_s:.2f} s", *each, *cpu)

    before_s = spent()
    tell(f"{groups_count} groups join and sync", await together(small, "enter"), before_s)
    before_s = spent()
    tell(f"{members_count} members join one group", await form(large), before_s)
    for name, members in (("the small groups", small), ("the large group", large)):
        before_s = spent()
        rounds = [await together(members, "heartbeat") for _ in range(HEARTBEAT_ROUNDS_COUNT)]
        median = sorted(rounds, key=lambda times: times.total_s)[HEARTBEAT_ROUNDS_COUNT // 2]
        tell(f"heartbeats of {name}", median, before_s)
        line("  a second", f"{len(members) / median.total_s:,.0f}")
    await large[0].leave()
    before_s = spent()
    tell("one leaves, the others rejoin", await form(large[1:], are_in=True), before_s)
    await bench_slow_member(small, large[1:], tell, spent)
    for member in (*small, *large):
        member.close()


async def bench_slow_member(
    small: list[Member],
    large: list[Member],
    tell: Callable[[str, Times, float], None],
    spent: Callable[[], float],
) -> None:
    """The large group rebalances and waits for one who does not rejoin: whom does it hold up?"""
    slow, leaver, *others = large
    await leaver.leave()
    rejoining = asyncio.ensure_future(form(others, are_in=True))
    while await slow.heartbeat() == 0:
        await asyncio.sleep(0.01)
    before_s = spent()
    times = await together(small, "heartbeat")
    tell("heartbeats while one is waited for", times, before_s)
    before_s = spent()
    tell("  of the slow member itself", await together([slow], "heartbeat"), before_s)
    assert not rejoining.done(), "nobody was waited for"
    before_s = spent()
    tell("  it rejoins", await together([slow], "enter"), before_s)
    await rejoining


if __name__ == "__main__":
    main()
