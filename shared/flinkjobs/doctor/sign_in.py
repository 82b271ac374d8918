"""The probe and the check of the sign-in before the page: whether jobs can be reached around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flinkjobs.doctor.codes import Code
from flinkjobs.doctor.facts import Facts, NotAsked, ProbeResult, Refused, SeenBy, attempt
from flinkjobs.doctor.findings import Finding, ok, skipped, warn
from flinkjobs.domain.errors import NoFunctionError
from flinkjobs.domain.observations import Unreachable
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.settings.functions import Settings


def probe_sign_in(
    settings: Settings, url: str | None, connect: Callable[[], RemoteFunction]
) -> ProbeResult[SeenBy | None] | None:
    """Asks jobs for its list, without the proxy's header; None where no header is trusted here."""

    def ask() -> SeenBy | None:
        answer = connect().call(
            "GET", "/api/jobs", query={"limit": "1"}, headers={}, body=None, expected_member="acting"
        )
        acting: Mapping[str, Any] | None = answer["acting"]
        try:
            return None if acting is None else SeenBy(acting["user"], may_act=bool(acting["allowed"]))
        except (KeyError, TypeError) as error:
            raise NoFunctionError(f"{url} answers what this version cannot read: {error!r}") from error

    if settings.trusted_user_header is None:
        return None
    return NotAsked("JOBS_URL is not set") if url is None else attempt(ask)


def check_sign_in(facts: Facts) -> Iterator[Finding]:
    """A finding only where a header is trusted."""
    check = "sign-in"
    match facts.sign_in:
        case NotAsked(because):
            yield skipped(check, because)
        case Unreachable(error) | Refused(error):
            yield skipped(check, f"jobs does not answer without a sign-in, or not at all: {error}")
        case SeenBy(None, may_act):
            saw = "believes no header" if may_act else "answers, and sees no user"
            yield warn(check, Code.SIGN_IN_PASSED_BY, f"jobs is reached around its sign-in: it {saw}")
        case SeenBy(user):
            yield ok(check, f"jobs takes us for {user}")
