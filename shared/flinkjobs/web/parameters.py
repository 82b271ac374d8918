"""Parameters of requests, checked, and the files of the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from flinkjobs.domain.errors import (
    NAMELESS,
    BadRequestError,
    Fault,
    ForbiddenError,
    describe_faults,
    json_pointer,
)
from flinkjobs.domain.text import cut
from flinkjobs.web import ui
from flinkjobs.web.messages import Answer, Request

MAX_JOB_IDS: Final = 200
"""As many as a page of the list shows."""


def job_ids(request: Request) -> list[str] | None:
    """Job ids that sync is to examine; None means all.

    Raises:
        BadRequestError: the body says otherwise.
    """
    body = request.json_object()
    _expect_only(body, {"job_ids"})
    given = body.get("job_ids")
    if given is None:
        return None
    if not isinstance(given, list) or not all(map(_is_text, given)):
        raise _bad("/job_ids", "must be an array of strings")
    return given


def some_job_ids(request: Request) -> list[str]:
    """Job ids of the body, at least one and at most `MAX_JOB_IDS`.

    Raises:
        BadRequestError: the body says otherwise.
    """
    given = job_ids(request)
    if not given or len(given) > MAX_JOB_IDS:
        raise _bad("/job_ids", f"must hold 1 to {MAX_JOB_IDS} ids")
    return given


def dry_run(request: Request) -> bool:
    """Whether cleanup runs dry: `dry_run` in the query or in the body.

    Raises:
        BadRequestError: either says otherwise.
    """
    body = request.json_object()
    _expect_only(body, {"dry_run"})
    given = body.get("dry_run", False)
    if not isinstance(given, bool):
        raise _bad("/dry_run", "must be true or false")
    asked = request.query.get("dry_run", "false")
    if asked not in ("true", "false"):
        raise _bad("query:dry_run", "must be true or false")
    return given or asked == "true"


def expect_no_parameters(request: Request) -> None:
    """Raises if the query has a parameter."""
    for name in request.query:
        raise _bad(f"query:{cut(name, 80) or NAMELESS}", "is not known here")


def expect_nothing_else(request: Request) -> None:
    """Raises if a request has a parameter or a field in its body."""
    expect_no_parameters(request)
    _expect_only(request.json_object(), set())


def expect_own_page(request: Request, origins: Collection[str] = ()) -> None:
    """Raises unless a request has the header that our page and our programs send.

    A form or an image of a foreign page cannot send the header, and a script of one may not, except where its
    origin is one of `origins`.

    Raises:
        ForbiddenError: it comes from elsewhere.
    """
    if request.headers.get("x-flinkjobs") != "1":
        raise ForbiddenError("the header X-Flinkjobs: 1 is missing")
    is_own = request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    if not is_own and request.headers.get("origin") not in origins:
        raise ForbiddenError("another site's page may not do this")


def page_file(request: Request) -> Answer:
    """A file of the page; without content if the caller's copy is current.

    Raises:
        NotFoundError: the page has no such file.
    """
    file = ui.file(request.path.get("name", ui.INDEX))
    etag = f'W/"{file.etag}"'
    headers = {**ui.HEADERS, "Content-Type": file.content_type, "ETag": etag}
    if etag in request.held_etags():
        return Answer(status=304, headers=headers, content=b"")
    return Answer(headers=headers, content=file.content)


def _is_text(value: object) -> bool:
    """Whether this is a string that UTF-8 can hold: JSON may write half a surrogate pair."""
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _expect_only(body: Mapping[str, Any], known: Collection[str]) -> None:
    for name in body:
        if name not in known:
            raise _bad(json_pointer([name]), f"is not known here; known: {', '.join(sorted(known))}")


def _bad(pointer: str, detail: str) -> BadRequestError:
    fault = Fault(pointer=pointer, detail=detail)
    return BadRequestError(describe_faults([fault]), (fault,))
