"""The report of a run, counted from its outcomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from flinkjobs.cleanup.progress import Outcome, Progress
from flinkjobs.cleanup.records import ExpiredRecords
from flinkjobs.cleanup.report import make_report
from flinkjobs.cleanup.retention import Kept
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Kind
from flinkjobs.ports.kubernetes import Deletion
from tests.support.kubernetes_objects import NOON


def outcome(name: str, result: Deletion | Kept, *, kind: Kind = Kind.JOB, hours: float = 30) -> Outcome:
    return Outcome(CleanupTarget(kind, name, name, "1", over_since=NOON - timedelta(hours=hours)), result)


def report_of(
    *outcomes: Outcome,
    now: datetime | None = NOON,
    expired: ExpiredRecords | None = None,
    **fields: Any,
) -> dict[str, Any]:
    return make_report(
        Progress(outcomes=outcomes, **fields),
        expired or ExpiredRecords(),
        run_id="r",
        started_at=NOON,
        duration_seconds=1.23456,
        dry_run=False,
        now=now,
    )


def test_report_names_how_many_records_were_deleted_and_whether_more_are_left() -> None:
    error = {"job_id": None, "code": "STORE_UNAVAILABLE", "message": "away"}
    report = report_of(expired=ExpiredRecords(NOON, deleted=3, is_finished=False, errors=(error,)))
    assert report["records"] == {"before": NOON, "deleted": 3}
    assert (report["complete"], report["errors"]) == (False, [error])


def test_report_counts_every_outcome_once() -> None:
    report = report_of(
        outcome("a", Deletion.DONE),
        outcome("b", Deletion.GONE),
        outcome("c", Kept.YOUNG, hours=3),
        outcome("d", Kept.ACTIVE, hours=7),
        outcome("e", Kept.YOUNG, hours=2),
        outcome("pod", Deletion.DONE, kind=Kind.POD),
        outcome("script", Kept.ACTIVE, kind=Kind.CONFIG_MAP, hours=99),
        settled_by_output=1,
        logs_saved=2,
    )
    assert report == {
        "run_id": "r",
        "started_at": NOON,
        "duration_seconds": 1.235,
        "dry_run": False,
        "complete": True,
        "skipped": False,
        "scanned": 5,
        "deleted": 1,
        "gone": 1,
        "harvested": 1,
        "logs_saved": 2,
        "names": ["a"],
        "kept": {"active": 1, "young": 2},
        "errors": [],
        "oldest_kept_hours": 7.0,
        "orphans": {"found": 2, "deleted": 1, "gone": 0, "names": ["pod"], "kept": {"active": 1}},
        "records": None,
    }


@pytest.mark.parametrize("reason", Kept)
def test_report_is_complete_where_the_next_run_has_nothing_more_to_do(reason: Kept) -> None:
    unfinished = {Kept.OVER_LIMIT, Kept.CHANGED, Kept.UNCONFIRMED, Kept.ERROR}
    for kind in Kind:
        assert report_of(outcome("a", reason, kind=kind))["complete"] == (reason not in unfinished)


def test_report_shows_an_error_of_a_peer_once_and_every_error_of_a_job() -> None:
    def error(job_id: str | None, code: str, message: str) -> dict[str, str | None]:
        return {"job_id": job_id, "code": code, "message": message}

    first, other = error(None, "STORE_UNAVAILABLE", "1"), error(None, "KUBERNETES_UNAVAILABLE", "2")
    of_jobs = [error("etl_1", "X", "3"), error("etl_1", "X", "4")]
    report = report_of(errors=(first, other, of_jobs[0], error(None, "STORE_UNAVAILABLE", "5"), of_jobs[1]))
    assert report["errors"] == [first, other, *of_jobs]
    assert not report["complete"]


def test_report_limits_names_and_errors_but_no_count() -> None:
    outcomes = [outcome(str(number), Deletion.DONE) for number in range(150)]
    errors = [{"job_id": str(number), "code": "X", "message": ""} for number in range(150)]
    report = report_of(*outcomes, errors=errors)
    assert (report["deleted"], len(report["names"]), len(report["errors"])) == (150, 100, 100)


def test_report_of_a_skipped_run_counts_nothing() -> None:
    report = report_of(now=None)
    assert (report["skipped"], report["complete"], report["scanned"]) == (True, False, 0)
    assert report["oldest_kept_hours"] is None
