"""The connections to one Flink cluster: TLS, a client certificate, a bearer token."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import httpx

from flinkjobs import USER_AGENT
from flinkjobs.domain.errors import FlinkCredentialError, FlinkUnavailableError, FlinkUntrustedError
from flinkjobs.domain.text import cut
from flinkjobs.settings.functions import FlinkCluster

if TYPE_CHECKING:
    import google.auth.credentials

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 20.0
"""Longest silence in the middle of an answer."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
"""What may stand in a header."""
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})
"""Codes of `X509_V_ERR_*`: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/#error-codes"""


class FlinkConnection:
    """A connection pool for one cluster and its History Server; may be shared by threads.

    The files of the settings are read when the first request is sent, and again after they were replaced: a
    file that cannot be read makes this cluster unreachable, and no other one. Closing it twice is harmless.
    """

    def __init__(
        self,
        cluster: FlinkCluster,
        *,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
    ) -> None:
        """Sends nothing and reads nothing yet."""
        self.timeout = httpx.Timeout(read_timeout_seconds, connect=connect_timeout_seconds)
        self._cluster = cluster
        self._access = cluster.access
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._replaced: httpx.Client | None = None
        self._files: tuple[object, ...] = ()
        self._google: google.auth.credentials.Credentials | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            for client in (self._client, self._replaced):
                if client is not None:
                    client.close()
            self._client = self._replaced = None

    def client(self) -> httpx.Client:
        """The client, made anew after a file of TLS was replaced.

        Raises:
            FlinkUntrustedError: `ca_file` cannot be read.
            FlinkCredentialError: the client certificate cannot be read.
        """
        access = self._access
        named = (access.ca_file, access.client_cert_file, access.client_key_file)
        files = tuple(_version(Path(path)) for path in named if path is not None)
        with self._lock:
            if self._client is None or files != self._files:
                client = httpx.Client(
                    timeout=self.timeout,
                    verify=self._tls(),
                    headers={"Accept": "application/json", "User-Agent": USER_AGENT},
                    follow_redirects=False,
                )
                if self._replaced is not None:
                    self._replaced.close()
                # A request of another thread may still use the one before.
                self._client, self._replaced, self._files = client, self._client, files
            return self._client

    def _tls(self) -> ssl.SSLContext:
        """Without https it trusts no server: the public authorities take a fifth of a cold start to load."""
        access, name = self._access, self._cluster.name
        urls = (self._cluster.rest_url, self._cluster.history_url or "")
        if not any(url.startswith("https:") for url in urls):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if access.ca_file is None:
            context = httpx.create_ssl_context()
        else:
            with _reading(name, "ca_file", access.ca_file, FlinkUntrustedError):
                context = ssl.create_default_context(cafile=access.ca_file)
        if access.client_cert_file is not None:
            files = ", ".join(filter(None, (access.client_cert_file, access.client_key_file)))
            with _reading(name, "client_cert_file", files, FlinkCredentialError):
                # Without a password OpenSSL asks for one at the terminal.
                context.load_cert_chain(access.client_cert_file, access.client_key_file, password="")
        return context

    def authorization(self) -> dict[str, str]:
        """The header of the next request; empty where the settings name no token.

        Raises:
            FlinkCredentialError: the file holds no token, or Google gives none.
        """
        if self._access.token_file is not None:
            with _reading(self._cluster.name, "token_file", self._access.token_file, FlinkCredentialError):
                token = Path(self._access.token_file).read_text(encoding="utf-8").strip()
                if not _TOKEN.fullmatch(token):
                    raise ValueError("it is empty, or holds no token")
        elif self._access.google_audience is not None:
            token = self._google_token(self._access.google_audience)
        else:
            return {}
        return {"Authorization": f"Bearer {token}"}

    def _google_token(self, audience: str) -> str:
        """https://cloud.google.com/run/docs/authenticating/service-to-service"""
        what = f"cluster {self._cluster.name}: google_audience: no identity token of Google's"
        try:
            from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 an extra of its own
            from google.auth.transport.requests import Request  # noqa: PLC0415
            from google.oauth2 import id_token  # noqa: PLC0415
        except ImportError as error:
            raise FlinkCredentialError(f"{what}: google-auth is not installed (the extra gke)") from error
        with self._lock:
            try:
                if self._google is None:
                    self._google = id_token.fetch_id_token_credentials(audience, request=Request())  # type: ignore[no-untyped-call]
                if not self._google.valid:
                    self._google.refresh(Request())
            except (GoogleAuthError, LookupError, TypeError, ValueError) as error:
                raise FlinkCredentialError(f"{what}: {_line(error)}") from error
            return str(self._google.token)


def described(error: Exception) -> FlinkUnavailableError:
    """An error of a request, in words; what TLS refused says what to do."""
    said = _line(error)
    tls = _cause_in_tls(error)
    if isinstance(tls, ssl.SSLCertVerificationError):
        code = tls.verify_code
        if code in _UNKNOWN_AUTHORITY:
            what = "its certificate is signed by an authority that is not trusted: name it in ca_file"
        elif code == _EXPIRED:
            what = "its certificate has expired"
        elif code in _OTHER_NAME:
            what = "its certificate is for another host name"
        else:
            what = "its certificate is not trusted"
        return FlinkUntrustedError(f"{what} ({said})")
    if tls is not None and "ALERT" in (tls.reason or "") and "VERSION" not in (tls.reason or ""):
        return FlinkCredentialError(
            f"it refuses our certificate, or wants one: see client_cert_file ({said})"
        )
    if tls is not None and tls.reason == "WRONG_VERSION_NUMBER":
        return FlinkUnavailableError(f"it does not speak TLS: the URL may begin with http ({said})")
    return FlinkUnavailableError(said)


def _cause_in_tls(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _version(path: Path) -> object:
    """Changes when the file is replaced, also behind the symbolic links of a mounted Secret."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


@contextmanager
def _reading(cluster: str, field: str, path: str, raised: type[FlinkUnavailableError]) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        text = cut(" ".join(str(why).split()), 160)
        raise raised(f"cluster {cluster}: {field} {cut(path, 200)} cannot be used: {text}") from error


def _line(error: Exception) -> str:
    return cut(" ".join(f"{type(error).__name__}: {error}".strip(": ").split()), 200)
