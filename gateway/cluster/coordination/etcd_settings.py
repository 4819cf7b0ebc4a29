"""How to reach etcd; read without gRPC, so that a wrong setting is told before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """`endpoints` are `host:port`; each is a member, or something that leads to one."""

    endpoints: tuple[str, ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: bytes | None = None
    """PEM; None: what the system trusts."""
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("no etcd endpoint is given; name at least one, as host:port")
        if (self.user is None) != (self.password is None):
            raise ValueError("etcd needs user and password both, or neither")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("etcd needs a client's certificate and its key both, or neither")
