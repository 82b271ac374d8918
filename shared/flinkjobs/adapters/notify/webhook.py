"""Signed CloudEvents over HTTP: one POST per event.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md (structured, JSON)
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx
from cloudevents.conversion import to_structured
from cloudevents.http import CloudEvent

from flinkjobs import USER_AGENT
from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.domain.text import cut
from flinkjobs.notify.messages import event_url
from flinkjobs.ports.channels import Delivered, Failed, Gone, SendResult
from flinkjobs.settings.notify import ChannelSettings, is_this_machine
from flinkjobs.submit.script_download import is_public
from flinkjobs.submit.webhook_signature import sign
from flinkjobs.web.messages import to_json

CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 10.0
"""Longest silence of a receiver after it has the event."""

ANSWER_TIMEOUT_SECONDS: Final = 1.0
"""How long an answer is read after its status, which is all that counts."""

MAX_ANSWER_BYTES: Final = 65_536
"""Maximum size of an answer that is read, so that its connection can be used again."""

DEFAULT_SOURCE: Final = "flinkjobs"
"""The `source` of events where the page's address is not known."""

_PRINTABLE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
"""What a header may hold as it is: https://www.rfc-editor.org/rfc/rfc9110#name-field-values"""


def new_client(*, read_timeout_seconds: float = READ_TIMEOUT_SECONDS) -> httpx.Client:
    """Connections to the receivers of all webhooks; threads may share it."""
    return httpx.Client(
        timeout=httpx.Timeout(read_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        headers={"User-Agent": USER_AGENT},
        follow_redirects=False,
    )


class _PrivateAddressError(Exception):
    """The receiver is at an address that is not allowed; the message says which."""


class WebhookChannel:
    """`flinkjobs.ports.channels.Channel` of a receiver that is a program."""

    digest_above: int | None = None

    def __init__(
        self,
        settings: ChannelSettings,
        *,
        client: httpx.Client,
        page_url: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        """Sends nothing yet.

        Args:
            settings: of this channel.
            client: from `new_client`; it may be shared.
            page_url: where people open the page; None where it is not known.
            clock: the time now, aware UTC.

        Raises:
            ValueError: the URL names no host that there can be.
        """
        self.name = settings.name
        self.filter: EventFilter = settings.filter
        self._settings = settings
        self._page_url = page_url
        self._clock = clock
        try:
            self._host = httpx.URL(settings.url).host
            self._host.encode("idna")  # as the name will be resolved
        except (httpx.InvalidURL, ValueError):
            raise ValueError("url names no valid host") from None
        self._is_any_address_allowed = settings.allow_private or is_this_machine(self._host)
        self._client = client

    def send(self, events: Sequence[Event]) -> SendResult:
        """Sends one event; see `flinkjobs.ports.channels.Channel`."""
        (event,) = events
        headers, body = to_structured(cloud_event(event, self._page_url))
        try:
            status, retry_after = self._post(body, headers | self._signature(event.id, body.decode()))
        except httpx.TimeoutException as error:
            return Failed(f"{self._host} {self._timeout(error)}")
        except httpx.HTTPError as error:
            outcome = "could not be reached" if isinstance(error, httpx.ConnectError) else "gave no answer"
            return Failed(f"{self._host} {outcome}: {_cause(error)}")
        except _PrivateAddressError as error:
            return Failed(str(error))
        if 200 <= status < 300:  # noqa: PLR2004 - the successful ones
            return Delivered()
        answered = f"{self._host} answered {_described(status)}"
        if status == HTTPStatus.GONE:
            return Gone(answered)
        return Failed(answered, _seconds(retry_after, self._clock()))

    def _timeout(self, error: httpx.TimeoutException) -> str:
        if isinstance(error, httpx.ConnectTimeout):
            return f"could not be reached within {self._client.timeout.connect:g} s"
        return f"did not answer within {self._client.timeout.read:g} s"

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        """The status of the answer, and its Retry-After. The answer itself is of no use."""
        extensions = {} if self._is_any_address_allowed else {"trace": self._expect_public}
        url = self._settings.url
        began = time.monotonic()
        with self._client.stream("POST", url, content=body, headers=headers, extensions=extensions) as answer:
            size = 0
            with suppress(httpx.HTTPError):  # what counts is the status
                for part in answer.iter_raw():
                    size += len(part)
                    if size > MAX_ANSWER_BYTES or time.monotonic() - began > ANSWER_TIMEOUT_SECONDS:
                        break  # and the connection is closed
            return answer.status_code, answer.headers.get("retry-after")

    def _expect_public(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the HTTP library: stops a request to a private address before any of it is sent."""
        if event == "connection.connect_tcp.complete":
            connection = info["return_value"]
            address = connection.get_extra_info("server_addr")[0]
            if not is_public(address):
                connection.close()
                raise _PrivateAddressError(
                    f"{self._host} has the address {address}, which is not public: set allow_private "
                    "if it is meant"
                )

    def _signature(self, event_id: str, body: str) -> dict[str, str]:
        """The headers of a signed request: with a signature by each secret, where one replaces another."""
        now, message_id = self._clock(), quote(event_id, safe=_PRINTABLE)
        signed = [sign(body, message_id=message_id, secret=each, now=now) for each in self._settings.secrets]
        signatures = " ".join(headers["webhook-signature"] for headers in signed)
        return signed[0] | {"webhook-signature": signatures}


def cloud_event(event: Event, page_url: str | None) -> CloudEvent:
    """The event as a CloudEvent: `data` holds `move`, `job` and the page's `url`."""
    attributes = {
        "id": event.id,
        "source": page_url or DEFAULT_SOURCE,
        "type": event.type.value,
        "subject": event.subject,
        "time": event.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    data = {"move": event.move, "job": event.job, "url": event_url(event, page_url)}
    return CloudEvent(attributes, json.loads(to_json(data)))  # the SDK knows no times


def _cause(error: httpx.HTTPError) -> str:
    """What the network says; it does not know the URL."""
    return cut(str(error) or type(error).__name__, 200)


def _described(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"{status}: a redirect is not followed, set the url that it leads to"
    return str(status)


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """Retry-After in seconds: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after"""
    if retry_after is None:
        return None
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a zone
        return None
