"""One run from beginning to end, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from dataclasses import dataclass
from typing import Any

from gateway.testing.sim.cluster import ClusterWorld
from gateway.testing.sim.plan import Plan
from gateway.testing.sim.trace import Trace, TraceLogs
from gateway.testing.sim.world import World
from wal_core.testing.seeds import stream
from wal_core.testing.sim_loop import SimLoop

VIRTUAL_S_MAX = 1_000.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. Without violations it passed."""

    plan: Plan
    violations: list[str]
    lines: list[str]
    digest: str
    counts: dict[str, int]


def simulate(plan: Plan) -> Outcome:
    """Run a plan. Never raises for what happens inside: that is a violation, too."""
    trace = Trace()
    loop = SimLoop(stream(plan.seed, "loop").getrandbits(32), virtual_s_max=VIRTUAL_S_MAX)
    loop.set_exception_handler(lambda _, context: _unhandled(trace, context))
    logs = _listen(trace)
    asyncio.set_event_loop(None)
    world = (ClusterWorld if plan.is_cluster else World)(plan, loop, trace)
    collecting = gc.isenabled()
    gc.disable()  # what is collected when must not depend on what ran before
    installed = world.storage.in_place()
    installed.__enter__()
    try:
        loop.run_until_complete(world.run())
    except Exception as error:
        trace.lines.append(f"{loop.time():10.4f} !!!      {error!r}")
        trace.violations.append(f"the run ended: {error!r}")
    finally:
        gc.collect()  # errors that nobody looked at are told now
        trace.is_over = True
        _take_apart(world, loop)
        installed.__exit__(None, None, None)
        for logger, handler, propagate in logs:
            logger.removeHandler(handler)
            logger.propagate = propagate
        if collecting:
            gc.enable()
    acked = sum(send.status == "ok" for send in world.history.sends)
    polled = sum(len(poll.records) for poll in world.history.polls)
    counts = {
        "with one log" if plan.logs_count == 1 else f"with {plan.logs_count} logs": 1,
        "sends": len(world.history.sends),
        "acked": acked,
        "polled": polled,
        "logs lost": sum(len(node.lost) for node in world.nodes),
    }
    return Outcome(plan, trace.violations, trace.lines, trace.digest(), counts)


def _listen(trace: Trace) -> list[tuple[logging.Logger, logging.Handler, bool]]:
    """The loggers, with what they are to be like again."""
    logs: list[tuple[logging.Logger, logging.Handler, bool]] = []
    for name in ("gateway", "wal_core", "asyncio"):
        handler = TraceLogs(trace)
        logger = logging.getLogger(name)
        logs.append((logger, handler, logger.propagate))
        logger.addHandler(handler)
        logger.propagate = False
    return logs


def _unhandled(trace: Trace, context: dict[str, Any]) -> None:
    """What asyncio would only have printed."""
    error = context.get("exception")
    trace.violation("unhandled", f"{context.get('message')}: {error!r}")


def _take_apart(world: World, loop: SimLoop) -> None:
    """Free everything; nothing that still happens on the way counts."""
    loop.end()
    processes = [holder.process for holder in world.holders]
    if world.plan.mode == "quorum":
        world.quorum.is_over = True
        processes += world.quorum.processes
    for process in processes:
        process.kill()
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # Cleanup that meets a loop without steps leaves coroutines behind: of no interest.
        warnings.simplefilter("ignore", RuntimeWarning)
        for process in processes:
            process.bury()
    loop.close()
