"""One blocking connection to one broker: a request out, its response in.

Rules: one request at a time; every wait has a deadline; whatever goes wrong becomes a ClientError
with a remedy. Versions are agreed on by asking first (ApiVersions v0, which every broker answers).
"""

import socket
from struct import Struct
from typing import Generic, NamedTuple, TypeVar

from gateway.cli.errors import ClientError, KafkaError
from gateway.settings.values import show_address
from protocol import ApiKey, DecodeError, Message, decode_response, encode_request
from protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

CLIENT_ID = "woodpecker-cli"
# No honest response is larger: a fetch reply is bounded by what we ask for and one batch.
RESPONSE_BYTES_MAX = 1 << 30
_LENGTH = Struct(">i")

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


class Api(NamedTuple, Generic[Q, R]):
    """An API as this client uses it: the newest version that still names topics by name."""

    key: ApiKey
    version_max: int
    request: type[Q]
    response: type[R]


API_VERSIONS = Api(ApiKey.API_VERSIONS, 0, ApiVersionsRequest, ApiVersionsResponse)


class Connection:
    """A socket on which both sides know which versions they may use."""

    def __init__(self, host: str, port: int, timeout_ms: int) -> None:
        """Connect and agree on versions; raises ClientError."""
        self._where = show_address(host, port)
        self._timeout_ms = timeout_ms
        self._correlation_id = 0
        self._ranges: dict[int, tuple[int, int]] = {}
        try:
            self._socket = socket.create_connection((host, port), timeout_ms / 1000)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as e:
            raise self._unreachable(e) from e
        try:
            reply = self._exchange(API_VERSIONS, 0, ApiVersionsRequest(), 0)
        except BaseException:
            self.close()
            raise
        self._ranges = {row.api_key: (row.min_version, row.max_version) for row in reply.api_keys}

    def close(self) -> None:
        self._socket.close()

    def request(self, api: Api[Q, R], body: Q, wait_ms: int = 0) -> R:
        """One request and its response; `wait_ms` is how long the broker may take on purpose."""
        return self._exchange(api, self._version(api), body, wait_ms)

    def _version(self, api: Api[Q, R]) -> int:
        low, high = self._ranges.get(api.key, (0, -1))
        version = min(api.version_max, high)
        if version < low:
            raise KafkaError(35, f"{api.key.name} at {self._where}")
        return version

    def _exchange(self, api: Api[Q, R], version: int, body: Q, wait_ms: int) -> R:
        self._correlation_id += 1
        pieces = encode_request(api.key, version, self._correlation_id, CLIENT_ID, body)
        self._socket.settimeout((self._timeout_ms + wait_ms) / 1000)
        try:
            self._socket.sendall(b"".join(pieces))
            (length,) = _LENGTH.unpack(self._receive(4))
            if not 4 <= length <= RESPONSE_BYTES_MAX:
                raise self._not_kafka()
            frame = self._receive(length)
        except OSError as e:
            raise self._lost(e) from e
        try:
            correlation_id, reply = decode_response(api.key, version, memoryview(frame))
        except DecodeError as e:
            raise self._not_kafka() from e
        if correlation_id != self._correlation_id or not isinstance(reply, api.response):
            raise self._not_kafka()
        return reply

    def _receive(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise ConnectionResetError("the broker closed the connection")
            data += piece
        return data

    def _unreachable(self, error: OSError) -> ClientError:
        if isinstance(error, ConnectionRefusedError):
            return ClientError(
                f"nothing listens on {self._where}",
                "`woodpecker-gateway serve` in another terminal, or --bootstrap HOST:PORT",
            )
        if isinstance(error, socket.gaierror):
            return ClientError(
                f"there is no host {self._where.rpartition(':')[0]}",
                "the spelling of --bootstrap HOST:PORT; if it is right, the broker advertises a "
                "name this machine does not know: `serve --advertised HOST:PORT`",
            )
        why = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        return ClientError(
            f"no connection to {self._where} ({why})",
            "whether the broker runs and a firewall lets you through",
        )

    def _lost(self, error: OSError) -> ClientError:
        if isinstance(error, TimeoutError):
            return ClientError(
                f"{self._where} did not answer in {self._timeout_ms} ms",
                "the broker's log; a larger --timeout if it is only slow",
            )
        return ClientError(
            f"the connection to {self._where} was lost ({error})",
            "the broker's log; whether this port speaks Kafka's protocol without TLS",
        )

    def _not_kafka(self) -> ClientError:
        return ClientError(
            f"{self._where} does not answer as a Kafka broker does",
            "whether the port is right and speaks Kafka's protocol without TLS",
        )
