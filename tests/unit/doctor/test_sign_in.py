"""Whether doctor notices that jobs is reached around its sign-in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flinkjobs.doctor.codes import Code
from flinkjobs.doctor.facts import Facts
from flinkjobs.doctor.sign_in import check_sign_in, probe_sign_in
from flinkjobs.domain.errors import FlinkjobsError, NoFunctionError, UnauthorizedError
from flinkjobs.settings.functions import Settings, read_settings

MONGODB = {"MONGODB_URI": "mongodb://db.example:27017"}
TRUSTING = {**MONGODB, "TRUSTED_USER_HEADER": "X-Auth-Request-Email"}


class Jobs:
    """The jobs function, with one answer."""

    def __init__(self, answer: dict[str, Any] | FlinkjobsError) -> None:
        self._answer = answer

    def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        assert (method, path, request["headers"]) == ("GET", "/api/jobs", {})
        if isinstance(self._answer, FlinkjobsError):
            raise self._answer
        return self._answer

    def close(self) -> None:
        raise AssertionError("doctor closes it itself")


def found(
    answer: dict[str, Any] | FlinkjobsError, environ: dict[str, str] | None = None
) -> list[tuple[str, str | None, str]]:
    settings: Settings = read_settings(environ or TRUSTING)
    facts = Facts(
        now=datetime(2026, 1, 5, tzinfo=UTC),
        settings=settings,
        sign_in=probe_sign_in(settings, "https://jobs.example", lambda: Jobs(answer)),
    )
    return [(finding.verdict.value, finding.code, finding.evidence) for finding in check_sign_in(facts)]


@pytest.mark.parametrize(
    ("acting", "saw"),
    [
        ({"allowed": False, "user": None}, "answers, and sees no user"),
        ({"allowed": True, "user": None}, "believes no header"),
    ],
)
def test_sign_in_passed_by_is_a_warning(acting: dict[str, Any], saw: str) -> None:
    evidence = f"jobs is reached around its sign-in: it {saw}"
    assert found({"acting": acting}) == [("warn", Code.SIGN_IN_PASSED_BY, evidence)]


def test_sign_in_that_names_us_is_well() -> None:
    [(verdict, _, evidence)] = found({"acting": {"allowed": False, "user": "ops@example.com"}})
    assert (verdict, evidence) == ("ok", "jobs takes us for ops@example.com")


@pytest.mark.parametrize("error", [NoFunctionError("sends on to idp.example"), UnauthorizedError("403")])
def test_sign_in_that_holds_us_back_is_no_finding_to_act_on(error: FlinkjobsError) -> None:
    [(verdict, _, evidence)] = found(error)
    assert (verdict, evidence.endswith(str(error))) == ("skipped", True)


def test_sign_in_answer_of_another_form_is_not_taken_for_one() -> None:
    [(verdict, _, _)] = found({"acting": {"who": "ann"}})
    assert verdict == "skipped"


def test_without_actions_or_a_trusted_header_there_is_nothing_to_say() -> None:
    assert found({"acting": None}) == []
    assert found(NoFunctionError("not asked"), MONGODB) == []


def test_without_an_address_jobs_is_not_asked() -> None:
    settings = read_settings(TRUSTING)
    facts = Facts(
        now=datetime(2026, 1, 5, tzinfo=UTC),
        settings=settings,
        sign_in=probe_sign_in(settings, None, lambda: Jobs(NoFunctionError("not asked"))),
    )
    assert [finding.evidence for finding in check_sign_in(facts)] == ["not checked: JOBS_URL is not set"]
