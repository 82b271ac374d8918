"""What a Flink cluster behind a proxy asks of its clients: fields of an entry of `FLINK_CLUSTERS`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from flinkjobs.domain.flink_options import CONF_KEY, FORBIDDEN_CONF
from flinkjobs.domain.secret_names import SECRET_NAME
from flinkjobs.domain.text import cut

POD_VARIABLE: Final = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_]*\)")
"""A variable of the submitter's container, whose value Kubernetes puts in its place.

https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/"""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class FlinkAccess:
    """TLS and identity of the requests to one cluster and its History Server. Secrets stand in files only.

    Attributes:
        ca_file: PEM file of the authorities to trust, in place of the public ones.
        client_cert_file: PEM file of our certificate, which may hold its key too.
        client_key_file: PEM file of its key.
        token_file: file of a bearer token; read for every request.
        google_audience: audience of an identity token of Google that is sent as bearer token.
    """

    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    token_file: str | None = None
    google_audience: str | None = None


def checked_access(access: FlinkAccess, urls: Sequence[str]) -> FlinkAccess:
    """The access, if it fits the URLs that it is for.

    Raises:
        ValueError: a field has no effect, contradicts another, or would send a token in the clear.
    """
    for name in access.__slots__:
        value = getattr(access, name)
        if value is not None and not re.fullmatch(r"[^\x00-\x1f\x7f]{1,4096}", value):
            raise ValueError(f"{name} must be one line of text")
    parts = [urlsplit(url) for url in urls]
    tls = [name for name in ("ca_file", "client_cert_file") if getattr(access, name) is not None]
    if tls and not any(part.scheme == "https" for part in parts):
        raise ValueError(f"{tls[0]} has no effect: no URL of this cluster begins with https")
    if access.client_key_file is not None and access.client_cert_file is None:
        raise ValueError("client_key_file has no effect without client_cert_file")
    if access.token_file is None and access.google_audience is None:
        return access
    token = "google_audience" if access.token_file is None else "token_file"
    if access.token_file is not None and access.google_audience is not None:
        raise ValueError("token_file and google_audience exclude each other")
    if any(part.username is not None for part in parts):
        raise ValueError(f"{token} and credentials in a URL exclude each other")
    if any(part.scheme != "https" and part.hostname not in _LOOPBACK for part in parts):
        raise ValueError(f"{token}: a token is sent over https only, and a URL of this cluster has http")
    return access


def checked_flink_conf(conf: Mapping[str, str]) -> Mapping[str, str]:
    """Options of Flink for the submitter.

    Raises:
        ValueError: a name is none, or the value of a secret stands here.
    """
    for key, value in conf.items():
        if not CONF_KEY.fullmatch(key):
            raise ValueError(f"flink_conf: {cut(key, 80)!r} is no option of Flink")
        for pattern, why in FORBIDDEN_CONF:
            if pattern.search(key):
                raise ValueError(f"flink_conf: {key} {why}")
        if not value or re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError(f"flink_conf: {key} must be one line of text")
        if SECRET_NAME.search(key) and not POD_VARIABLE.fullmatch(value):
            what = "is a secret: name a variable of the submitter's pod, as in $(KEY_PASSWORD)"
            raise ValueError(f"flink_conf: {key} {what}")
    return MappingProxyType(dict(conf))
