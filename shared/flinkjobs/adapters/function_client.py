"""Client of the deployed functions, over httpx.

Errors come back as problem details: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from flinkjobs import USER_AGENT
from flinkjobs.domain.errors import (
    Fault,
    FlinkjobsError,
    FunctionRefusedError,
    FunctionUnavailableError,
    JobNotFoundError,
    NoFunctionError,
    NotFoundError,
    SettingsError,
    UnauthorizedError,
)
from flinkjobs.domain.text import cut

CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 180.0
"""A pass may take as long as its function may run."""

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

_NOT_NOW: Final = frozenset({408, 409, 425, 429, 502, 503, 504})
"""What a proxy in between answers, without problem details, when the same request may succeed later."""


class HttpFunction:
    """`flinkjobs.ports.functions.RemoteFunction`: one deployed function."""

    def __init__(self, url: str, *, bearer: Callable[[], str] | None, client: httpx.Client) -> None:
        """Args:
        url: its base URL, without a slash at the end.
        bearer: the token to send; None sends none.
        client: connections; they may be shared.

        Raises:
            SettingsError: a token would travel where everybody on the way can read it.
        """
        parts = urlsplit(url)
        if bearer is not None and parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise SettingsError(f"a token is sent over https only, not to {cut(url, 120)}")
        self._url = url
        self._bearer = bearer
        self._client = client

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: str | None,
        expected_member: str,
    ) -> dict[str, Any]:
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self._bearer is not None:
            sent["Authorization"] = f"Bearer {self._bearer()}"
        try:
            answer = self._client.request(
                method, self._url + path, params=dict(query), headers=sent, content=body
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = cut(str(error) or type(error).__name__, 200)
            raise FunctionUnavailableError(f"{self._url} did not answer: {cause}") from error
        if not answer.is_success:
            raise self._error(answer)
        try:
            read = json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            content = f"{_kind(answer)} instead of JSON: {_stranger(answer)}"
            raise NoFunctionError(f"{self._url} answered {answer.status_code} with {content}") from error
        if not isinstance(read, dict):
            raise NoFunctionError(f"{self._url} answered no JSON object: {_stranger(answer)}")
        if expected_member not in read:
            content = f"JSON without {expected_member!r}: it is another function, or none of these"
            raise NoFunctionError(f"{self._url} answered {content}")
        return read

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._client.close()

    def _error(self, answer: httpx.Response) -> FlinkjobsError:
        status, problem = answer.status_code, _problem(answer)
        phrase = HTTPStatus(status).phrase if status in _PHRASES else "no status that HTTP knows"
        detail = cut(str(problem.get("detail") or phrase))
        peer_code = str(problem.get("code") or status)
        crashed = status == HTTPStatus.INTERNAL_SERVER_ERROR  # an error that it did not expect
        if crashed or "retry-after" in answer.headers or (status in _NOT_NOW and not problem):
            code = f" {problem['code']}" if problem.get("code") else ""
            message = f"{self._url} answered {status}{code}: {detail}"
            return FunctionUnavailableError(message, is_own=bool(problem), peer_code=problem.get("code"))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return UnauthorizedError(f"{self._url} answered {status}: {detail}")
        if status == HTTPStatus.NOT_FOUND and peer_code == JobNotFoundError.code:
            return JobNotFoundError(detail)
        if status == HTTPStatus.NOT_FOUND and problem:
            return NotFoundError(detail)
        if not problem:
            what = f"{status}{_elsewhere(answer)}: {_stranger(answer)}"
            return NoFunctionError(f"{self._url} answered {what}")
        return FunctionRefusedError(detail, _faults(problem), peer_code=peer_code, peer_status=status)


_PHRASES: Final = frozenset(HTTPStatus)


def _kind(answer: httpx.Response) -> str:
    """What came, in a word."""
    return cut(answer.headers.get("content-type", "a text"), 80) if answer.content else "nothing"


def _elsewhere(answer: httpx.Response) -> str:
    """Where a redirection leads: the host alone, since the rest may be what only a login should see."""
    following, asked = answer.next_request, answer.request.url
    if following is None or (following.url.scheme, following.url.netloc) == (asked.scheme, asked.netloc):
        return ""
    return f" and sends on to {following.url.scheme}://{cut(following.url.netloc.decode(), 80)}"


def _stranger(answer: httpx.Response) -> str:
    """What answers in a function's place."""
    is_login = answer.is_redirect or "text/html" in answer.headers.get("content-type", "")
    login = ", or a login stands before it (FLINKJOBS_AUTH, FLINKJOBS_TOKEN)" if is_login else ""
    return f"it is none of these functions{login}"


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """The problem details, empty where there are none."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return {}
    try:
        read = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _faults(problem: Mapping[str, Any]) -> tuple[Fault, ...]:
    given = problem.get("errors")
    listed = given if isinstance(given, list) else []
    return tuple(
        Fault(pointer=str(fault.get("pointer", "")), detail=cut(str(fault.get("detail", ""))))
        for fault in listed
        if isinstance(fault, dict)
    )


def new_client(*, read_timeout_seconds: float = READ_TIMEOUT_SECONDS) -> httpx.Client:
    """Connections to any number of functions, through a proxy where the environment names one."""
    timeout = httpx.Timeout(read_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
    return httpx.Client(timeout=timeout, headers={"User-Agent": USER_AGENT}, follow_redirects=False)


def google_identity(audience: str) -> str:
    """An identity token of Google for this audience: a service account's, by file or metadata server.

    https://cloud.google.com/run/docs/authenticating/service-to-service

    Raises:
        FunctionUnavailableError: the metadata server, or who issues the tokens, did not answer.
        SettingsError: there is no identity that could get one.
    """
    # Only who needs Google's identity has its library.
    from google.auth import exceptions as auth_errors  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415
    from google.oauth2 import id_token  # noqa: PLC0415

    try:
        token: str = id_token.fetch_id_token(Request(), audience)  # type: ignore[no-untyped-call] # google-auth's gap
    except auth_errors.TransportError as error:
        raise FunctionUnavailableError(f"no identity token from Google: {cut(str(error), 200)}") from error
    except auth_errors.GoogleAuthError as error:
        raise SettingsError(
            f"FLINKJOBS_AUTH=google finds no service account: {cut(str(error), 200)}"
        ) from error
    return token
