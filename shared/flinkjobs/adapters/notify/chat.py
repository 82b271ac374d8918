"""Chat services, e-mail and pagers over Apprise: https://appriseit.com

Apprise answers whether it could send, and logs why not. Its texts may hold the channel's URL, which is a
secret. So its log goes nowhere, and a failure is named in our words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from threading import Lock
from typing import Final

import apprise
from apprise.result import AppriseResultStatus

from flinkjobs.domain.events import Event, EventFilter
from flinkjobs.notify.messages import DIGEST_LISTS, digest_of, message_of
from flinkjobs.ports.channels import Delivered, Failed, Gone, SendResult
from flinkjobs.settings.notify import ChannelSettings

TIMEOUT_SECONDS: Final = 20.0
"""How long a message may take in all, the pauses that Apprise makes for a service's rate limit included."""

logging.getLogger("apprise").propagate = False
logging.getLogger("urllib3.connection").addFilter(
    lambda record: not str(record.msg).startswith("Failed to parse headers")  # it names the whole URL
)

_STATUS: Final = re.compile(r"error=(\d{3})\b")
"""How Apprise's plugins log the HTTP status of an answer."""


class ChatChannel:
    """`flinkjobs.ports.channels.Channel` of people."""

    digest_above: int | None = DIGEST_LISTS

    def __init__(
        self, settings: ChannelSettings, *, page_url: str | None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Sends nothing yet.

        Args:
            settings: of this channel.
            page_url: where people open the page; None where it is not known.
            timeout_seconds: see `TIMEOUT_SECONDS`.

        Raises:
            ValueError: Apprise does not know such a URL.
        """
        self.name = settings.name
        self.filter: EventFilter = settings.filter
        self._language = settings.language
        self._page_url = page_url
        self._timeout_seconds = timeout_seconds
        asset = apprise.AppriseAsset(app_id="flinkjobs", app_desc="flinkjobs", http_redirects=False)
        service = apprise.Apprise.instantiate(settings.url, asset=asset)
        if service is None:
            raise ValueError("url is none that Apprise knows, see https://appriseit.com/services/")
        self._service = str(service.service_name)
        self._apprise = apprise.Apprise(service, asset=asset)
        self._sending = Lock()

    def send(self, events: Sequence[Event]) -> SendResult:
        """Sends one message; see `flinkjobs.ports.channels.Channel`.

        One at a time: Apprise measures the pauses of a rate limit from the message before.
        """
        language, page_url = self._language, self._page_url
        if len(events) == 1:
            message = message_of(events[0], language=language, page_url=page_url)
        else:
            message = digest_of(events, language=language, page_url=page_url)
        with self._sending:
            result = self._apprise.notify(
                title=message.title,
                body=message.body,
                notify_type=message.severity.value,
                body_format=apprise.NotifyFormat.TEXT,
                timeout=self._timeout_seconds,
            )
        # Of the attempts, since a URL may say `optional`: then every result counts as a success.
        attempts = [attempt for sent in result.results for attempt in sent.attempts]
        if attempts and attempts[-1]:
            return Delivered()
        if attempts and attempts[-1].status is AppriseResultStatus.TIMEOUT:
            return Failed(f"{self._service} did not answer within {self._timeout_seconds:g} s")
        return self._failure("\n".join(entry.message for attempt in attempts[-1:] for entry in attempt.logs))

    def _failure(self, logged: str) -> Failed | Gone:
        if found := _STATUS.search(logged):
            answered = f"{self._service} answered {found[1]}"
            return Gone(answered) if int(found[1]) == HTTPStatus.GONE else Failed(answered)
        if "onnection error" in logged:
            return Failed(f"{self._service} could not be reached, or broke the connection off")
        return Failed(f"{self._service} refused the message")
