"""The steps of a writer that owns, or believes it owns, the log. Named as in log_writer.py."""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.testing.log_model.checks import acknowledge
from wal_core.testing.log_model.rules import Bounds, Rule
from wal_core.testing.log_model.values import (
    COMPLETE,
    DATA,
    Block,
    Flight,
    Key,
    Objects,
    Phase,
    State,
    Step,
    Writer,
)


class Writing:
    """append -> _flush -> _confirm, and _finish_segment when the segment is full, which it may be
    at any time. Cutting a block and sending it are one step: until a PUT arrives nobody can tell
    when it was sent."""

    def __init__(self, bounds: Bounds, broken: frozenset[Rule]) -> None:
        self._bounds = bounds
        self._broken = broken

    def steps(self, state: State, at: int, objects: Objects) -> Iterator[Step]:
        writer = state.writers[at]
        finishing = any(flight.block.kind == COMPLETE for flight in writer.flights)
        if not finishing or Rule.FOOTER_FIRST in self._broken:
            yield from self._append(state, at)
        if writer.block_count and not writer.flights:
            yield self._finish_segment(state, at)
        for number, flight in enumerate(writer.flights):
            if not flight.durable:
                yield from self._flush(state, at, number, objects)

    def _append(self, state: State, at: int) -> Iterator[Step]:
        writer, bounds = state.writers[at], self._bounds
        if state.appended_count == bounds.blocks_max:
            return
        if len(writer.flights) == bounds.in_flight_max:
            return
        offset = len(writer.state) + sum(flight.block.kind == DATA for flight in writer.flights)
        for mark in ("", "!") if state.truncations_count < bounds.truncations_max else ("",):
            entry = f"{writer.name}{offset}{mark}"
            block = Block(DATA, writer.name, writer.term, offset, (entry,))
            sent = _send(state, at, _next_slot(writer), block)._replace(
                appended_count=state.appended_count + 1,
                truncations_count=state.truncations_count + len(mark),
            )
            if Rule.ACK_WHEN_DURABLE in self._broken:
                sent = acknowledge(sent, at, entry)
            yield f"{writer.name}.append {entry}", sent

    def _finish_segment(self, state: State, at: int) -> Step:
        writer = state.writers[at]
        footer = Block(COMPLETE, writer.name, writer.term, writer.block_count, writer.state)
        return f"{writer.name}._finish_segment", _send(state, at, _next_slot(writer), footer)

    def _flush(self, state: State, at: int, number: int, objects: Objects) -> Iterator[Step]:
        """The answer to a PUT: created, or there is something and it is read back."""
        writer = state.writers[at]
        flight = writer.flights[number]
        found = objects.get(flight.key)
        label = f"{writer.name}._flush {flight.key[1]}/{flight.key[2]}"
        own = found == flight.block and Rule.RECOGNISE_OWN not in self._broken
        if flight.created or own:
            yield f"{label}: durable", self._durable(state, at, number)
        if found is not None and not own:
            assert isinstance(found, Block)
            if Rule.RECOGNISE_STRANGER in self._broken:
                yield f"{label}: taken for durable", self._durable(state, at, number)
            else:
                yield f"{label}: Fenced", self._fenced(state, at, number, found)

    def _durable(self, state: State, at: int, number: int) -> State:
        writer = state.writers[at]
        flights = list(writer.flights)
        flights[number] = flights[number]._replace(durable=True)
        if Rule.CONFIRM_IN_ORDER in self._broken and flights[number].block.kind == DATA:
            state = acknowledge(state, at, flights[number].block.entries[0])
        state = state.with_writer(at, writer._replace(flights=tuple(flights)))
        while state.writers[at].flights and state.writers[at].flights[0].durable:
            state = self._confirm(state, at)
        return state

    def _confirm(self, state: State, at: int) -> State:
        """The block and everything before it is durable: let the world see it."""
        writer = state.writers[at]
        block, flights = writer.flights[0].block, writer.flights[1:]
        if block.kind == COMPLETE:
            return state.with_writer(
                at, writer._replace(segment=writer.segment + 1, block_count=0, flights=flights)
            )
        after = state.with_writer(
            at,
            writer._replace(
                block_count=writer.block_count + 1,
                state=writer.state + block.entries,
                flights=flights,
            ),
        )
        return acknowledge(after, at, block.entries[0])

    def _fenced(self, state: State, at: int, number: int, found: Block) -> State:
        writer = state.writers[at]
        if Rule.STEP_DOWN in self._broken:
            flight = writer.flights[number]
            segment, block = flight.key[1:]
            again = flight._replace(key=("logs", segment, block + 1))
            flights = (*writer.flights[:number], again, *writer.flights[number + 1 :])
            moved = state.with_writer(at, writer._replace(flights=flights))
            return moved.sending(again.key, again.block)
        after = Writer(writer.name, Phase.STOPPED, state=writer.state, term=writer.term)
        stopped = state.with_writer(at, after)
        if found.term <= writer.term:
            return stopped._replace(wrong="a writer stepped down, and there is no newer one")
        return stopped


def _next_slot(writer: Writer) -> Key:
    kinds = [flight.block.kind for flight in writer.flights]
    if COMPLETE in kinds:  # only when FOOTER_FIRST is broken
        return ("logs", writer.segment + 1, len(kinds) - kinds.index(COMPLETE) - 1)
    return ("logs", writer.segment, writer.block_count + len(kinds))


def _send(state: State, at: int, key: Key, block: Block) -> State:
    writer = state.writers[at]
    flights = (*writer.flights, Flight(key, block))
    return state.with_writer(at, writer._replace(flights=flights)).sending(key, block)
