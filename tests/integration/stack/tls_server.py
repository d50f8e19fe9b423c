"""A Temporal frontend behind TLS: a proxy in front of the stack's, which notes who came, and with which API key."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hpack import Decoder

PREFACE_BYTES = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
# RFC 9113, sections 4.1 and 6.
FRAME_HEADER_BYTES = 9
HEADERS, CONTINUATION = 0x1, 0x9
PADDED, PRIORITY = 0x8, 0x20
CHUNK_BYTES = 65_536


class Authority:
    """Signs certificates; each is two files in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._signed(name, self._key, is_authority=True)
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate_path.write_bytes(self._signed(name, key, is_authority=False).public_bytes(Encoding.PEM))
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate_path, key_path

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_authority else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


@dataclass
class TlsServer:
    """Where it listens, and what it has seen: common names of clients' certificates, `authorization` headers, calls."""

    address: str = ""
    clients: set[str] = field(default_factory=set)
    authorizations: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


@asynccontextmanager
async def tls_server(
    target: str, certificate: tuple[Path, Path], clients: Authority | None
) -> AsyncIterator[TlsServer]:
    """Forward to `target` what comes over TLS, from those alone whom this authority has signed, if there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2"])
    if clients is not None:
        context.load_verify_locations(clients.path)
        context.verify_mode = ssl.CERT_REQUIRED
    server = TlsServer()
    host, _, port = target.rpartition(":")
    under_way: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if found := writer.get_extra_info("peercert"):
            server.clients |= {value for ((name, value),) in found["subject"] if name == "commonName"}
        onward_reader, onward_writer = await asyncio.open_connection(host, int(port))
        noted = HeaderNotes(server)
        directions = [_pump(reader, onward_writer, noted), _pump(onward_reader, writer, None)]
        tasks = {asyncio.create_task(direction) for direction in directions}
        under_way.update(tasks)
        await asyncio.wait(tasks)

    listening = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
    server.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        # Closing a transport takes the loop one more turn.
        await asyncio.sleep(0)


class HeaderNotes:
    """Reads the header blocks of what a client sends, in HTTP/2's frames."""

    def __init__(self, server: TlsServer) -> None:
        self._server = server
        self._decoder = Decoder()
        self._buffer = b""
        self._skip = PREFACE_BYTES

    def read(self, chunk: bytes) -> None:
        self._buffer += chunk
        if self._skip:
            if len(self._buffer) < self._skip:
                return
            self._buffer, self._skip = self._buffer[self._skip :], 0
        while len(self._buffer) >= FRAME_HEADER_BYTES:
            length, kind, flags = int.from_bytes(self._buffer[:3]), self._buffer[3], self._buffer[4]
            if len(self._buffer) < FRAME_HEADER_BYTES + length:
                return
            payload = self._buffer[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]
            self._buffer = self._buffer[FRAME_HEADER_BYTES + length :]
            assert kind != CONTINUATION, "a header block of several frames: longer than any client of ours sends"
            if kind == HEADERS:
                self._note(payload, flags)

    def _note(self, payload: bytes, flags: int) -> None:
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & PRIORITY:
            payload = payload[5:]
        for name, value in self._decoder.decode(payload):
            if str(name) == "authorization":
                self._server.authorizations.add(str(value))
            elif str(name) == ":path":
                self._server.calls.add(str(value).rpartition("/")[2])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noted: HeaderNotes | None) -> None:
    try:
        with suppress(OSError, ssl.SSLError):
            while chunk := await reader.read(CHUNK_BYTES):
                if noted is not None:
                    noted.read(chunk)
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()
