"""A browser context that notices what a good page never does: errors, dialogs, requests to other hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Request, WebError


@dataclass
class Watch:
    """What a context did that it must not. Without slots: Playwright marks the owner of a handler.

    Attributes:
        origin: the only one that the page may talk to.
        may_fail_to_load: a test that takes the server away accepts that the browser says so.
    """

    origin: str
    may_fail_to_load: bool = False
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Begins to watch."""
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("dialog", self._dialog)
        context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        is_load = "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not (is_load and self.may_fail_to_load):
            self.faults.append(f"console: {message.text}")

    def _error(self, error: WebError) -> None:
        self.faults.append(f"exception: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.requests.append(request.url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.faults.append(f"request to {request.url}")

    def asked(self, path: str) -> int:
        """How many requests there were to this path."""
        return sum(urlsplit(url).path == path for url in self.requests)
