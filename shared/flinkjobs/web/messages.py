"""Requests and responses as values."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    UnsupportedMediaTypeError,
)
from flinkjobs.domain.text import cut

MAX_BODY_BYTES: Final = 1024 * 1024

_JSON_TYPE: Final = re.compile(r"application/([a-z0-9.!#$&^_-]+\+)?json")


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its web framework.

    Attributes:
        headers: by lower-case name.
        query: the first value of each parameter.
        body: raw, at most `MAX_BODY_BYTES`; empty where the method has none.
        parameters: all parameters of the query, in their order.
        path: the values of the route's placeholders, by name.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    parameters: tuple[tuple[str, str], ...] = ()
    path: Mapping[str, str] = field(default_factory=dict)

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object.

        Raises:
            BadRequestError: it is neither, or says the same thing twice: a proxy that passed it on may have
                understood the other one (https://www.rfc-editor.org/rfc/rfc8259#section-4).
        """
        if not self.body.strip():
            return {}
        try:
            parsed = json.loads(self.body, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(
                "the body is no JSON", (Fault(pointer="", detail=_json_fault(error)),)
            ) from error
        if not isinstance(parsed, dict):
            raise BadRequestError(
                "the body is no JSON object", (Fault(pointer="", detail="must be an object"),)
            )
        return parsed

    def held_etags(self) -> set[str]:
        """The ETags of what the caller has, each as a weak one: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2"""
        given = (tag.strip() for tag in self.headers.get("if-none-match", "").split(","))
        return {tag if tag.startswith("W/") else f"W/{tag}" for tag in given if tag}

    def expect_json(self) -> None:
        """Raises unless the body is declared as JSON or has no content type.

        The types that remain are those which a browser sends for any web page, without asking first.

        Raises:
            UnsupportedMediaTypeError: it is declared as another type.
        """
        declared = self.headers.get("content-type", "application/json")
        kind = declared.partition(";")[0].strip().lower()
        if not _JSON_TYPE.fullmatch(kind):
            raise UnsupportedMediaTypeError(
                f"the body must be application/json, not {cut(kind, 80) or 'of no type'}",
                (Fault(pointer="header:content-type", detail="must be application/json"),),
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a JSON body with a status.

    Attributes:
        content: sent in the place of a JSON body; a header names its type.
    """

    body: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


def unless_held(request: Request, body: Mapping[str, Any]) -> Answer:
    """The body with its ETag, or 304 where the caller holds the same but for its `now`."""
    same = to_json({name: value for name, value in body.items() if name != "now"})
    etag = f'W/"{hashlib.sha256(same.encode()).hexdigest()[:32]}"'
    if etag in request.held_etags():
        return Answer(status=304, headers={"ETag": etag}, content=b"")
    return Answer(body, headers={"ETag": etag})


Handler: TypeAlias = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One method at one kind of path.

    Attributes:
        path: in the syntax of `werkzeug.routing`; `<name>` stands for one segment, which is not empty.
    """

    method: str
    path: str
    handler: Handler


def to_json(value: object) -> str:
    """JSON with times in ISO 8601 UTC, milliseconds and a `Z`. Half a surrogate pair becomes its escape."""
    text = json.dumps(value, ensure_ascii=False, default=_json_value)
    return text.encode(errors="backslashreplace").decode()


def _json_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"no JSON value: {type(value).__name__}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"holds the name {cut(twice, 80)!a} twice")
    return found


def _refuse_constant(word: str) -> None:
    raise ValueError(f"holds {word}, which JSON does not know")


def _json_fault(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
