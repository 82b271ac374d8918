"""One port for plain HTTP and for TLS: the first byte of a connection shows which it is.

kubectl and client-go send a token over TLS only, so `kubectl --token` needs the latter; every other client
may save itself the certificate. The certificate is made at each start and signs itself, so it serves as the
kubeconfig's certificate authority too.
"""

import asyncio
import base64
import contextlib
import errno
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
BACKLOG = 128
FIRST_BYTE_SECONDS = 30.0
"""How long a connection may stay silent before it is dropped."""
TLS_HANDSHAKE = 0x16
VALIDITY = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 and its key, both PEM."""

    certificate: bytes
    key: bytes


def make_certificate(now: datetime) -> Certificate:
    """A new certificate, valid from an hour ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes double")])
    names = [x509.IPAddress(IPv4Address(HOST)), x509.DNSName("localhost")]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def server_context(certificate: Certificate, directory: Path) -> ssl.SSLContext:
    """The server's side of TLS; the key is on disk only while it is loaded."""
    path = directory / "certificate.pem"
    path.touch(mode=0o600)
    try:
        path.write_bytes(certificate.key + certificate.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    finally:
        path.unlink()
    return context


def kubeconfig(port: int, token: str, namespace: str, certificate: Certificate) -> str:
    """A kubeconfig for this server: JSON, which is YAML too."""
    authority = base64.b64encode(certificate.certificate).decode()
    name = "kubernetes-double"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": f"https://{HOST}:{port}", "certificate-authority-data": authority},
                }
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
            "current-context": name,
        },
        indent=2,
    )


class PortTakenError(Exception):
    """The port wanted is in use."""


class Listener:
    """Accepts connections and hands them to a protocol, with TLS or without."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext, port: int) -> None:
        """Bind the port; 0 picks a free one.

        Raises:
            PortTakenError: another process listens there.
        """
        self._protocol = protocol
        self._context = context
        try:
            self._socket = socket.create_server((HOST, port), backlog=BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(f"port {port} of {HOST} is taken") from None
            raise
        self._socket.setblocking(False)
        self._greetings: set[asyncio.Task[None]] = set()
        self.port: int = self._socket.getsockname()[1]

    async def run(self) -> None:
        """Accept until cancelled; then the port is closed."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                connection, _ = await loop.sock_accept(self._socket)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                greeting = asyncio.create_task(self._greet(connection))
                self._greetings.add(greeting)
                greeting.add_done_callback(self._greetings.discard)
        finally:
            self._socket.close()
            for greeting in self._greetings:
                greeting.cancel()

    async def _greet(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                first = await _peek(connection)
        except (TimeoutError, OSError):
            connection.close()
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        context = self._context if first == TLS_HANDSHAKE else None
        with contextlib.suppress(OSError):  # TLS errors included: the client will have noticed
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection, ssl=context)


async def _peek(connection: socket.socket) -> int:
    """The connection's first byte, left where it is; -1 when the peer closed without one."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection, note)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    data = connection.recv(1, socket.MSG_PEEK)
    return data[0] if data else -1
