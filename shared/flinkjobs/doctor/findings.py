"""Findings: what a check found, and how it is worded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from flinkjobs.doctor.remedies import REMEDIES
from flinkjobs.domain.text import cut

EXAMPLES: Final = 3
"""Records quoted in one finding."""

QUOTED_LENGTH: Final = 750
"""Characters that the quotes of one finding share."""

EVIDENCE_LENGTH: Final = 900
"""Characters of evidence in a finding."""


class Verdict(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "warn"
    """Works, and somebody should look at it when there is time."""
    FAIL = "fail"
    UNKNOWN = "unknown"
    """Could not be found out, and nothing else that failed explains why."""
    SKIPPED = "skipped"
    """Was not checked; the evidence says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to.

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


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed, and nothing stayed unknown."""
    return not any(finding.verdict in (Verdict.FAIL, Verdict.UNKNOWN) for finding in findings)


def first_failing(findings: Sequence[Finding]) -> Finding | None:
    """The finding that names the cause: the first that failed, else the first that stayed unknown."""
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        for finding in findings:
            if finding.verdict is verdict:
                return finding
    return None


# --- words ------------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """A text without passwords in URLs and without signing secrets."""
    return re.sub(r"whsec_\S+", "whsec_***", re.sub(r"//[^/\s]+@", "//***@", text))


def address_of(mongodb_uri: str) -> str:
    """The hosts of a connection string, without credentials and options."""
    return re.split(r"[/?]", mongodb_uri.partition("://")[2].rpartition("@")[2])[0]


def _ok(check: str, evidence: str) -> Finding:
    return Finding(check, Verdict.OK, evidence)


def _warn(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.WARN, evidence, REMEDIES[code], code)


def _fail(check: str, code: str, evidence: str, remedy: str | None = None) -> Finding:
    return Finding(check, Verdict.FAIL, evidence, remedy or REMEDIES[code], code)


def _unknown(check: str, code: str, evidence: str) -> Finding:
    return Finding(check, Verdict.UNKNOWN, evidence, REMEDIES[code], code)


def _skipped(check: str, because: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, f"not checked: {because}")


def _several(texts: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    shown = texts[:EXAMPLES]
    told = "; ".join(cut(text, QUOTED_LENGTH // len(shown)) for text in shown)
    return told if len(texts) == len(shown) else f"{told}; and {len(texts) - len(shown)} more"


_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def _length(length: timedelta) -> str:
    """A length of time in one unit, the largest of which there are two."""
    seconds = length.total_seconds()
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _ago(length: timedelta) -> str:
    return f"{_length(length)} ago"
