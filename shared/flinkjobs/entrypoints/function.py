"""Composition root of calls to deployed functions."""

from __future__ import annotations

from functools import partial

from flinkjobs.adapters import function_client
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.settings.client import ClientSettings


def connect_function(url: str, settings: ClientSettings) -> RemoteFunction:
    """The deployed function at this URL, called with the identity of the settings.

    Raises:
        SettingsError: the settings send a token to a URL without https.
    """
    bearers = {
        "none": None,
        "token": lambda: settings.token or "",
        "google": partial(function_client.google_identity, url),
    }
    return function_client.HttpFunction(
        url, bearer=bearers[settings.auth], client=function_client.new_client()
    )
