"""Receivers of webhooks on loopback: real servers that keep what came and play an answer, and certificates for them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Receiver:
    """A server and the requests it got, as they were on the wire; `left` is set when a caller's connection is over."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def receiving(
    answer: bytes | Iterable[bytes] = OK,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    every_s: float = 0,
    then_close: bool = False,
) -> AsyncIterator[Receiver]:
    """A receiver that answers each request piece by piece, then waits for the caller to leave, or closes.

    At the end every caller must have left.
    """
    receiver = Receiver()
    serving: set[asyncio.Task[None] | None] = set()
    pieces = [answer] if isinstance(answer, bytes) else answer

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        receiver.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            receiver.requests.append(await _read_request(reader))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(every_s)
            if not then_close:
                await reader.read()
        writer.transport.abort()
        receiver.left.set()

    server = await asyncio.start_server(serve, address, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
        async with asyncio.timeout(5):
            await asyncio.gather(*filter(None, serving))


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(length)


class Authority:
    """A certificate authority that nobody but its own callers trusts."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, folder: Path) -> None:
        self._key = key
        self._certificate = certificate
        self._folder = folder

    @classmethod
    def found(cls, folder: Path) -> Self:
        """A new authority; its servers' keys are kept in the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named("an authority of the tests")
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            _certificate(name, issuer=name, key=key, issuer_key=key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate, folder)

    def trusted(self) -> ssl.SSLContext:
        """What a caller who trusts this authority, and no other, connects with."""
        return ssl.create_default_context(cadata=self._certificate.public_bytes(serialization.Encoding.DER))

    def bundle(self) -> Path:
        """A file of certificates, in PEM, for who trusts this authority."""
        kept = self._folder / "authority.pem"
        kept.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return kept

    def server_of(self, host: str) -> ssl.SSLContext:
        """What the server of this host name or address listens with."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(_named(host), issuer=self._certificate.subject, key=key, issuer_key=self._key)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        kept = self._folder / f"{host.replace(':', '_')}.pem"
        kept.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(kept)
        return context


def _certificate(
    name: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)
