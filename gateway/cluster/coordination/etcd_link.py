"""Calls to whichever member of etcd answers: endpoints, tokens, deadlines, what errors mean.

There is a channel for each endpoint, so that names, addresses and certificates are each endpoint's
own. One is in use. When a call on it is lost, by a member that is gone, cut off, stopped or without
a leader, the link asks round which one answers a small read, and goes on with that. A call that may
be repeated is, within its time; any other fails, for it may have taken effect. gRPC's channels
belong to the loop they were made on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc
import grpc.aio

from gateway.cluster.coordination import wire
from gateway.cluster.coordination.base import Compacted, LeaseLost, Refused, StoreAway
from gateway.cluster.coordination.etcd_settings import EtcdSettings

MESSAGE_BYTES_MAX = 16 << 20
"""Of one answer: a snapshot is read in pages far smaller than this."""
PROBE_S_MAX = 1.0
"""How long an endpoint may take when it is asked whether it is there. Larger: a slow network;
smaller: one that answers is found sooner."""
ROUND_S = 0.1
"""Pause after a round in which no endpoint was there."""
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
)
_LEASE_GONE = "requested lease not found"
_STALE = ("invalid auth token", "revision of auth store is old")
_ANONYMOUS = "user name is empty"
_LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)

Send = Callable[[grpc.aio.Channel, float], Awaitable[bytes]]
Stream: TypeAlias = "grpc.aio.StreamStreamCall"


class MemberLost(StoreAway):
    """The member does not answer; another one may."""


class _TokenRefused(Refused):
    """Ask for another one."""


class EtcdLink:
    """See the module; make it on the loop that uses it."""

    def __init__(self, settings: EtcdSettings, call_s_max: float) -> None:
        self._settings = settings
        self._call_s_max = call_s_max
        self._token: str | None = None
        self._is_closed = False
        self._channels = [_open_channel(settings, endpoint) for endpoint in settings.endpoints]
        self._at = 0
        self._in_use: grpc.aio.Channel | None = None
        self._probing = asyncio.Lock()
        self._why: dict[str, str] = {}
        self._streams: dict[Stream, grpc.aio.Channel] = {}

    async def ask(self, method: str, request: bytes, *, repeat: bool) -> wire.Fields:
        """One call and its answer."""

        async def send(channel: grpc.aio.Channel, seconds: float) -> bytes:
            unary = channel.unary_unary(f"/etcdserverpb.{method}")
            return bytes(await unary(request, timeout=seconds, metadata=self._metadata()))

        return await self._ask(method, send, repeat=repeat)

    async def ask_stream(self, method: str, request: bytes) -> wire.Fields:
        """A stream for a single answer; may be repeated."""

        async def send(channel: grpc.aio.Channel, seconds: float) -> bytes:
            call = self._stream(channel, method, seconds)
            try:
                await call.write(request)
                got = await call.read()
            except asyncio.InvalidStateError as error:
                raise MemberLost(f"etcd has ended {method}") from error
            finally:
                call.cancel()
            if got is grpc.aio.EOF:
                raise MemberLost(f"etcd has ended {method}")
            return bytes(got)

        return await self._ask(method, send, repeat=True)

    @asynccontextmanager
    async def open_stream(self, method: str, request: bytes) -> AsyncIterator[Stream]:
        """A stream that stays. It ends when its member is lost for other calls as well."""
        async with self._in_time(method):
            channel = await self._answering()
        call = self._stream(channel, method, None)
        self._streams[call] = channel
        try:
            async with self._in_time(method):
                await call.write(request)
            yield call
        except grpc.aio.AioRpcError as error:
            raise self._told(error, channel) from error
        except asyncio.InvalidStateError as error:
            raise StoreAway(f"{method} is over") from error
        except asyncio.CancelledError:
            if _is_cancelled_from_outside():
                raise
            raise StoreAway(f"{method} was given up") from None
        except MemberLost:
            self._suspect(channel)
            raise
        finally:
            self._streams.pop(call, None)
            call.cancel()

    async def close(self) -> None:
        """Streams end; calls fail from now on."""
        self._is_closed = True
        for call in list(self._streams):
            call.cancel()
        for channel in self._channels:
            await channel.close()

    async def _ask(self, method: str, send: Send, *, repeat: bool) -> wire.Fields:
        tries = 1 + len(self._channels) if repeat else 1
        # Someone who may be asked again elsewhere is not waited for to the end.
        seconds = self._call_s_max / (2 if repeat and len(self._channels) > 1 else 1)
        may_log_in = self._settings.user is not None
        async with self._in_time(method):
            while True:
                channel = await self._answering()
                try:
                    if may_log_in and self._token is None:
                        may_log_in = False
                        await self._log_in(channel, seconds)
                    return wire.Fields(await self._sent(channel, send, seconds))
                except _TokenRefused:
                    if not may_log_in:
                        raise
                    self._token = None
                except MemberLost:
                    tries -= 1
                    if tries <= 0:
                        raise

    async def _sent(self, channel: grpc.aio.Channel, send: Send, seconds: float) -> bytes:
        try:
            return await send(channel, seconds)
        except grpc.aio.AioRpcError as error:
            raise self._told(error, channel) from error
        except asyncio.CancelledError:
            if _is_cancelled_from_outside():
                raise
            raise StoreAway("the coordination store is closed") from None
        except MemberLost:
            self._suspect(channel)
            raise

    async def _log_in(self, channel: grpc.aio.Channel, seconds: float) -> None:
        user, password = self._settings.user or "", self._settings.password or ""
        request = wire.texts((1, user), (2, password))

        async def send(channel: grpc.aio.Channel, seconds: float) -> bytes:
            unary = channel.unary_unary("/etcdserverpb.Auth/Authenticate")
            return bytes(await unary(request, timeout=seconds, metadata=self._metadata()))

        answer = wire.Fields(await self._sent(channel, send, seconds))
        self._token = answer.blob(2).decode()

    async def _answering(self) -> grpc.aio.Channel:
        """The channel in use, or the first whose member answers. The deadline is outside."""
        async with self._probing:
            while True:
                if self._is_closed:
                    raise StoreAway("the coordination store is closed")
                if self._in_use is not None:
                    return self._in_use
                for _ in self._channels:
                    if await self._is_there(self._at):
                        self._in_use = self._channels[self._at]
                        break
                    self._at = (self._at + 1) % len(self._channels)
                else:
                    await asyncio.sleep(ROUND_S)

    async def _is_there(self, at: int) -> bool:
        """Whether a member answers, and has a leader; a refusal is an answer, too."""
        endpoint = self._settings.endpoints[at]
        read = self._channels[at].unary_unary("/etcdserverpb.KV/Range")
        request = wire.message((1, b"\0"), (8, 1))
        try:
            await read(request, timeout=PROBE_S_MAX, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            if error.code() in _LOST:
                self._why[endpoint] = error.details() or error.code().name
                return False
        except asyncio.CancelledError:
            if _is_cancelled_from_outside():
                raise
            raise StoreAway("the coordination store is closed") from None
        self._why.pop(endpoint, None)
        return True

    def _suspect(self, channel: grpc.aio.Channel) -> None:
        """Ask round before the next call; streams of that member begin again elsewhere."""
        if self._in_use is channel:
            self._in_use = None
            self._at = (self._at + 1) % len(self._channels)
        for call, its in list(self._streams.items()):
            if its is channel:
                call.cancel()

    def _told(self, error: grpc.aio.AioRpcError, channel: grpc.aio.Channel) -> Exception:
        """What an error of gRPC means to us."""
        code, details = error.code(), error.details() or ""
        if _LEASE_GONE in details:
            return LeaseLost("the lease is over; register again")
        if any(text in details for text in _STALE):
            return _TokenRefused(f"etcd refuses: {details}")
        if code is grpc.StatusCode.OUT_OF_RANGE:
            return Compacted(f"etcd: {details}; read everything again")
        if code in _LOST:
            self._suspect(channel)
            return MemberLost(f"etcd: {code.name}: {details}")
        refusals = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
        if code in refusals or code is grpc.StatusCode.INVALID_ARGUMENT or _ANONYMOUS in details:
            return Refused(f"etcd refuses: {details}; check user, password and the user's roles")
        return StoreAway(f"etcd: {code.name}: {details}")

    @asynccontextmanager
    async def _in_time(self, method: str) -> AsyncIterator[None]:
        """All that one call does, going round and logging in included, within its time."""
        if self._is_closed:
            raise StoreAway("the coordination store is closed")
        try:
            async with asyncio.timeout(self._call_s_max):
                yield
        except TimeoutError as error:
            why = "; ".join(f"{endpoint}: {text}" for endpoint, text in self._why.items())
            asked = ", ".join(self._settings.endpoints)
            raise StoreAway(f"etcd at {asked} did not answer {method} in time. {why}") from error

    def _stream(self, channel: grpc.aio.Channel, method: str, seconds: float | None) -> Stream:
        stream = channel.stream_stream(f"/etcdserverpb.{method}")
        return stream(timeout=seconds, metadata=self._metadata())

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        # A member that has no leader refuses, instead of letting us wait.
        token = (("token", self._token),) if self._token else ()
        return (*token, ("hasleader", "true"))


def _is_cancelled_from_outside() -> bool:
    """Whether it is the caller who does not wait any longer: gRPC reports a call that was cancelled
    here, by `close` or because its member is lost, with the same exception."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _open_channel(settings: EtcdSettings, endpoint: str) -> grpc.aio.Channel:
    if not settings.tls:
        return grpc.aio.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(settings.ca, settings.key, settings.certificate)
    return grpc.aio.secure_channel(endpoint, credentials, options=_CHANNEL_OPTIONS)
