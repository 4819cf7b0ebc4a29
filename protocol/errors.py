"""What decoding can raise, and nothing else: a caller needs to catch two names.

A peer's bytes never raise anything but these two, whatever the bytes are. A value that cannot be
encoded (a None where the version knows no null) is our own bug and raises TypeError or ValueError.
"""


class ProtocolError(Exception):
    """The common parent, for callers that treat both the same way."""


class DecodeError(ProtocolError):
    """The bytes are not a message of this API and version.

    `position` counts bytes from the start of the buffer that was given; `api` (the name of the
    struct) and `version` are None where the primitive that failed could not know them.
    """

    def __init__(
        self,
        reason: str,
        position: int,
        *,
        api: str | None = None,
        version: int | None = None,
    ) -> None:
        super().__init__(reason, position, api, version)
        self.reason = reason
        self.position = position
        self.api = api
        self.version = version

    def __str__(self) -> str:
        where = f" in {self.api} v{self.version}" if self.api is not None else ""
        return f"{self.reason} at position {self.position}{where}"


class TooManyElements(DecodeError):
    """The arrays of a message have more elements than whoever decodes it allows."""


class UnsupportedVersion(ProtocolError):
    """The table has no such (API key, version)."""

    def __init__(self, api_key: int, version: int) -> None:
        super().__init__(api_key, version)
        self.api_key = api_key
        self.version = version

    def __str__(self) -> str:
        return f"API key {self.api_key} has no version {self.version} here"
