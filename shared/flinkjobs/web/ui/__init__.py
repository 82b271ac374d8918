"""Static files of the page, shipped with the package.

The page is HTML, CSS and ES modules without a build step; it talks to the read side's JSON and loads
nothing from anywhere else. `HEADERS` make the browser hold it to that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, cast

from flinkjobs.domain.errors import NotFoundError
from flinkjobs.domain.text import cut

INDEX: Final = "index.html"

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "json": "application/json",
        "svg": "image/svg+xml",
    }
)
"""Content type by a file name's ending. What ends otherwise is not served: this module, the notices."""

_POLICY: Final = (
    *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"),
    *("connect-src 'self'", "font-src 'self'", "base-uri 'none'", "form-action 'none'"),
    *("frame-ancestors 'none'", "require-trusted-types-for 'script'"),
)
"""https://www.w3.org/TR/CSP3/ and, for the last one, https://www.w3.org/TR/trusted-types/"""

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(_POLICY),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
)
"""Sent with every file. `no-cache` lets a browser keep a file and ask whether it is still the same."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the page.

    Attributes:
        etag: names this content, without quotes.
    """

    content: bytes
    content_type: str
    etag: str


@cache
def names() -> frozenset[str]:
    """The names of the files that are served."""
    return frozenset(
        entry.name for entry in resources.files(__name__).iterdir() if _ending(entry.name) in _TYPES
    )


def file(name: str) -> File:
    """The file of this name.

    Raises:
        NotFoundError: there is none, whatever else the name may point to.
    """
    if name not in names():
        raise NotFoundError(f"the page has no file {cut(name, 80)!r}")
    return _read(name)


def words(language: str) -> Mapping[str, str]:
    """Texts of the page by key, in `en` or `zh`; placeholders are in braces."""
    return cast("Mapping[str, str]", json.loads(file(f"messages.{language}.json").content))


@cache
def _read(name: str) -> File:
    content = resources.files(__name__).joinpath(name).read_bytes()
    return File(content, _TYPES[_ending(name)], hashlib.sha256(content).hexdigest()[:32])


def _ending(name: str) -> str:
    return name.rpartition(".")[2]
