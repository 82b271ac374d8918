"""A web server with TLS on 127.0.0.1, and a certificate for a name of its own."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered for a path.

    Attributes:
        length: Content-Length, where it is not the body's.
        drip_seconds: silence before each byte of the body.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    drip_seconds: float = 0.0


class TlsServer:
    """Serves pages by path; a context manager.

    Attributes:
        port: on 127.0.0.1.
        certificate: file to trust it by.
        asked: `Host` and path of every request.
    """

    def __init__(self, name: str, pages: Mapping[str, Page], directory: Path) -> None:
        """Listens at once, with a certificate for `name` whose files are written to `directory`."""
        self.pages = pages
        self.asked: list[tuple[str, str]] = []
        self.closing = threading.Event()
        self.certificate = directory / "certificate.pem"
        key = directory / "key.pem"
        _write_certificate(name, self.certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server = _Server(self)
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server: _Server

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has gone, or does not trust the certificate
            self.close_connection = True

    def do_GET(self) -> None:
        owner = self.server.owner
        owner.asked.append((self.headers["Host"], self.path))
        page = owner.pages.get(self.path, Page(status=404))
        self.send_response(page.status)
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body) if page.length is None else page.length))
        self.end_headers()
        if not page.drip_seconds:
            self.wfile.write(page.body)
            return
        for byte in page.body:
            if owner.closing.wait(page.drip_seconds):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: TlsServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)


def _write_certificate(name: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
