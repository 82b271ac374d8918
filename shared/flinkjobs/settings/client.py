"""Settings of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.permissions import Function
from flinkjobs.settings.parsing import Reader, bearer_token, http_url, one_of, set_values, webhook_secrets

AUTH_MODES: Final = ("auto", "none", "token", "google")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """URLs of the deployed functions and how to call them.

    Attributes:
        urls: base URL of each function that has one, by its name, without a slash at the end.
        auth: `token`, `google` or `none`; `auto` is settled when it is read.
        token: the bearer token of `token`.
        webhook_secrets: as in `Settings`; the first of them signs what is sent to submit.
    """

    urls: Mapping[str, str]
    auth: str
    token: str | None = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


def read_client_settings(environ: Mapping[str, str]) -> ClientSettings:
    """Reads the settings of a caller of deployed functions; all are optional.

    Raises:
        SettingsError: as `read_settings`.
    """
    read = Reader(set_values(environ))
    token = read.value("FLINKJOBS_TOKEN", None, bearer_token)
    auth = read.value("FLINKJOBS_AUTH", "auto", one_of(AUTH_MODES))
    if auth == "token" and token is None:
        raise SettingsError("FLINKJOBS_TOKEN is required by FLINKJOBS_AUTH=token and not set")
    if auth == "auto":
        auth = "none" if token is None else "token"
    urls = {name.value: read.value(f"{name.upper()}_URL", None, http_url) for name in Function}
    return ClientSettings(
        urls=MappingProxyType({name: url for name, url in urls.items() if url is not None}),
        auth=auth,
        token=token,
        webhook_secrets=read.value("WEBHOOK_SECRETS", (), webhook_secrets),
    )
