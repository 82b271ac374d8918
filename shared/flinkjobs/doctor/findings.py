"""Findings: results of checks and their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from flinkjobs.doctor.codes import REMEDIES, Code
from flinkjobs.doctor.facts import NoAnswer, NotAsked, Refused
from flinkjobs.domain.observations import Unreachable
from flinkjobs.domain.text import cut

EXAMPLES: Final = 3
"""Maximum number of records quoted in one finding."""

QUOTED_LENGTH: Final = 750
"""Maximum number of characters of all quotes of one finding."""

EVIDENCE_LENGTH: Final = 900
"""Maximum number of characters of evidence in one finding."""


class Verdict(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    """Works, but needs attention."""
    FAIL = "fail"
    UNKNOWN = "unknown"
    """Could not be determined."""
    SKIPPED = "skipped"
    """Not checked; the evidence says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of one check.

    Attributes:
        check: what was checked; stable.
        evidence: what was seen, with no password in it.
        next_step: what to do; "" where nothing is to be done.
        code: a `Code` or a `ReasonCode`; "" where all is well.
    """

    check: str
    verdict: Verdict
    evidence: str
    next_step: str = ""
    code: str = ""


def is_healthy(findings: Sequence[Finding], *, strict: bool = False) -> bool:
    """Whether no finding is FAIL or UNKNOWN; nor WARN, with `strict`."""
    bad = {Verdict.FAIL, Verdict.UNKNOWN} | ({Verdict.WARN} if strict else set())
    return not any(finding.verdict in bad for finding in findings)


def first_failing(findings: Sequence[Finding]) -> Finding | None:
    """The finding that names the cause: the first FAIL, else the first UNKNOWN."""
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        for finding in findings:
            if finding.verdict is verdict:
                return finding
    return None


def masked(text: str) -> str:
    """A text without passwords in URLs and without signing secrets."""
    return re.sub(r"whsec_\S+", "whsec_***", re.sub(r"//[^/\s]+@", "//***@", text))


def address_of(mongodb_uri: str) -> str:
    """Hosts of a connection string, without credentials and options."""
    return re.split(r"[/?]", mongodb_uri.partition("://")[2].rpartition("@")[2])[0]


def ok(check: str, evidence: str) -> Finding:
    return Finding(check, Verdict.OK, evidence)


def warn(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.WARN, evidence, REMEDIES[code], code)


def fail(check: str, code: str, evidence: str, remedy: str | None = None) -> Finding:
    return Finding(check, Verdict.FAIL, evidence, remedy or REMEDIES[code], code)


def unknown(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, evidence, REMEDIES[code], code)


def skipped(check: str, because: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, f"not checked: {because}")


def no_answer(
    check: str,
    gap: NoAnswer,
    unavailable: Code,
    refused: Code | None = None,
    *,
    finding: Callable[[str, str, str], Finding] = fail,
) -> Finding:
    """The finding of a check whose probe found nothing.

    Args:
        check: what was to be checked.
        gap: why it was not.
        unavailable: the code where the peer did not answer.
        refused: the code where it refused; None: the same.
        finding: `fail` or `unknown`.
    """
    match gap:
        case NotAsked(because):
            return skipped(check, because)
        case Unreachable(error):
            return finding(check, unavailable, error)
        case Refused(error):
            return finding(check, refused or unavailable, error)


def first_few(texts: Sequence[str]) -> str:
    """The first texts, and the number of the others."""
    shown = texts[:EXAMPLES]
    quoted = "; ".join(cut(text, QUOTED_LENGTH // len(shown)) for text in shown)
    return quoted if len(texts) == len(shown) else f"{quoted}; and {len(texts) - len(shown)} more"


def bare(cluster: str, error: str) -> str:
    """An error without the leading name of its cluster."""
    return error.removeprefix(f"cluster {cluster}: ")


_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def duration_text(duration: timedelta) -> str:
    """A duration in one unit: the largest that fits at least twice."""
    seconds = duration.total_seconds()
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def ago(duration: timedelta) -> str:
    return f"{duration_text(duration)} ago"
