"""Over TLS: a private authority is named by a file, and nobody else is believed."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from wal_core import CloudSettings, Unavailable
from wal_core.stores.objects.cloud import open_cloud
from wal_core.testing.scripted_s3 import ScriptedS3

_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A new authority and a server at 127.0.0.1 that it vouches for; the authority's file."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, extension, critical):
        builder = x509.CertificateBuilder(authority_name, subject, public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(_FROM).not_valid_after(_UNTIL)
        return builder.add_extension(extension, critical).sign(authority_key, hashes.SHA256())

    basic = x509.BasicConstraints(ca=True, path_length=0)
    authority = signed(authority_name, authority_key.public_key(), basic, True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = signed(x509.Name([]), key.public_key(), address, True)
    encoding = serialization.Encoding.PEM
    bundle, own = folder / "authority.pem", folder / "server.pem"
    bundle.write_bytes(authority.public_bytes(encoding))
    own.write_bytes(
        server.public_bytes(encoding)
        + key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return bundle, context


async def test_a_private_authority(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bundle, tls = certificate(tmp_path)
    async with ScriptedS3(tls=tls) as server:
        settings = CloudSettings(endpoint=server.endpoint, timeout_ms=2_000)
        stranger = open_cloud("s3://bucket/p", settings)
        with pytest.raises(Unavailable, match="AWS_CA_BUNDLE"):
            await stranger.create("k", [b"x"])
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        store = open_cloud("s3://bucket/p", settings)
        await store.create("k", [b"x" * 100_000])
        assert bytes(await store.get_range("k", 99_998, 10)) == b"xx"
        (put,) = [r for r in server.requests if r.method == "PUT"]
        # TLS guards the bytes: they are not hashed once more for the signature.
        assert put.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        await store.close()
        await stranger.close()
