"""Records as every part of the system and the old platform leave them, for the page to show."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.records import Document, labelled, new_record

SCRIPT_NAME = "<img src=x onerror=alert(1)>"
"""A job's name that is markup; a page that took it for that would run its script."""

FLINK_IDS = {
    "orders": "5f1d0c3a9be24f7788c2d1e0a4b6c801",
    "clicks": "0a9e3c5b7d1f42638a9bc0d1e2f30415",
    "report": "c0ffee00112233445566778899aabbcc",
    "first": "11111111111111111111111111111111",
    "second": "22222222222222222222222222222222",
    "broken": "b10c1e0011224433665588aa77ccdd99",
    "gone": "90ae0000000000000000000000000001",
    "stopped": "5709ed00000000000000000000000002",
    "old": "0ld".replace("l", "1") + "a" * 29,
}

TRACE = (
    "org.apache.flink.runtime.taskmanager.AsynchronousException: Caught exception while processing timer.\n"
    "Caused by: java.lang.RuntimeException: Error received from SDK harness: "
    'File "/opt/jobs/broken.py", line 41\n'
    "ValueError: amount -3 is negative"
)


def record(job_id: str, submitted_at: datetime, status: str = "CREATED", **fields: Any) -> Document:
    """A document as submit leaves it behind, but for the given fields."""
    template_id = job_id.rpartition("_")[0]
    made: Document = {
        "template_id": template_id,
        "job_name": None,
        "status": status,
        "submitted_by": None,
        "k8s_job_name": f"flink-py-{template_id.replace('_', '-')}-{abs(hash(job_id)) % 16**8:08x}",
        "spec": {
            "script": {"path": f"/opt/jobs/{template_id}.py"},
            "args": ["--day", "2026-11-22"],
            "parallelism": 2,
        },
    }
    return new_record(job_id, submitted_at, **made | fields)


def in_flink(
    flink_id: str, start: datetime, end: datetime | None = None, *, state: str = "RUNNING", **fields: Any
) -> Document:
    """The fields of a record that follows one Flink job."""
    ref = {
        "id": flink_id,
        "source": "TERMINATION_MESSAGE",
        "confirmed": True,
        "state": state,
        "start_time": start,
        "end_time": end,
        "failure": None,
        "missing_since": None,
        "missing_passes": 0,
    }
    known: Document = {
        "flink_job_id": flink_id,
        "flink_job_ids": [flink_id],
        "flink_jobs": [ref],
        "flink_state": state,
        "submitter_done": True,
        "start_time": start,
        "end_time": end,
        "duration": None if end is None else (end - start).total_seconds(),
        "updated_at": end or start,
    }
    return known | fields


def because(code: str, message: str, since: datetime) -> Document:
    """A record's reason."""
    return {"code": code, "message": message, "since": since}


def cast(now: datetime) -> list[Document]:
    """One record of each kind, submitted within the last day, the newest last."""
    second, minute, hour = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

    def ago(span: timedelta) -> datetime:
        at = now - span
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    two = in_flink(FLINK_IDS["first"], ago(9 * hour), ago(8.5 * hour), state="FINISHED")
    two["flink_jobs"] += in_flink(FLINK_IDS["second"], ago(9 * hour), ago(8 * hour), state="FINISHED")[
        "flink_jobs"
    ]
    two |= {
        "flink_job_ids": [FLINK_IDS["first"], FLINK_IDS["second"]],
        "end_time": ago(8 * hour),
        "duration": 3600.0,
    }
    lost_at = ago(5 * hour)
    return [
        old_platform(ago(22 * hour)),
        record(
            "sessions_archive_1795300000001",
            ago(20 * hour),
            "CANCELLED",
            **in_flink(FLINK_IDS["stopped"], ago(20 * hour - 31 * second), ago(18 * hour), state="CANCELED"),
        ),
        record("two_inserts_1795300000002", ago(9.01 * hour), "FINISHED", **two),
        record(
            "recommender_train_1795300000003",
            ago(7 * hour),
            "LOST",
            **in_flink(FLINK_IDS["gone"], ago(7 * hour - 40 * second), missing_since=lost_at),
        )
        | {"reason": because("OUTCOME_UNKNOWN", "Flink does not know the job any more", lost_at)},
        record(
            "fails_at_run_time_1795300000004",
            ago(3 * hour),
            "FAILED",
            job_name="Amounts per shop",
            submitted_by="li.wei",
            **in_flink(
                FLINK_IDS["broken"], ago(3 * hour - 25 * second), ago(3 * hour - 34 * second), state="FAILED"
            ),
        )
        | {"reason": because("JOB_FAILED", TRACE, ago(3 * hour - 34 * second))},
        record(
            "daily_report_1795300000005",
            ago(2 * hour),
            "FINISHED",
            job_name="每日报表 daily report",
            submitted_by="zhang.min",
            **labelled({"team": "search"}),
            notified=[
                {"channel": "ops", "seq": 0, "type": "flinkjobs.job.created", "at": ago(2 * hour)},
                {"channel": "feishu", "seq": 2, "type": "flinkjobs.job.finished", "at": ago(hour)},
            ],
            submitter_log={
                "text": f"Job has been submitted with JobID {FLINK_IDS['report']}\nProgram finished\n",
                "truncated": True,
                "pod": "flink-py-daily-report-x7k2p",
                "saved_at": ago(hour),
            },
            **in_flink(
                FLINK_IDS["report"],
                ago(2 * hour - 22 * second),
                ago(2 * hour - 22 * second - 13.909 * second),
                state="FINISHED",
            ),
        ),
        record(
            "raises_before_submitting_1795300000006",
            ago(50 * minute),
            "FAILED",
            submitter_done=True,
            reason=because(
                "SUBMIT_FAILED",
                'Traceback (most recent call last):\n  File "/opt/jobs/raises.py", line 12, in <module>\n'
                '    day = DAYS["2025-11-02"]\n'
                "KeyError: '2025-11-02'",
                ago(49 * minute),
            ),
        ),
        record(
            "orders_enrich_1795300000007",
            ago(30 * minute),
            "RUNNING",
            submitted_by="li.wei",
            **labelled({"team": "search", "example.com/stage": "test"}),
            **in_flink(FLINK_IDS["orders"], ago(29 * minute)),
        ),
        record(
            "xss_1795300000008",
            ago(25 * minute),
            "SUSPENDED",
            job_name=SCRIPT_NAME,
            spec={
                "script": {"inline": "<script>alert(2)</script>"},
                "flink_conf": {"s3.secret-key": "hunter2"},
            },
            **in_flink(FLINK_IDS["clicks"], ago(24 * minute), state="SUSPENDED"),
        ),
        record(
            "clicks_hourly_1795300000009",
            ago(20 * minute),
            reason=because(
                "IMAGE_PULL",
                "pod flink-py-clicks-hourly-8c6fd894-x2x4q, container submit: ImagePullBackOff: "
                'Back-off pulling image "registry.example/flink:1.20-p7"',
                ago(19 * minute),
            ),
        ),
        record("user_features_1795300000010", ago(second)),
    ]


def old_platform(submitted_at: datetime) -> Document:
    """A document as the platform before this one wrote it: times are text, the new fields are missing."""
    start, end = submitted_at + timedelta(seconds=30), submitted_at + timedelta(minutes=20, seconds=30)

    def text(at: datetime) -> str:
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")

    return {
        "job_id": "old_platform_1795300000000",
        "flink_job_id": FLINK_IDS["old"],
        "status": "FINISHED",
        "submitted_at": text(submitted_at),
        "start_time": text(start),
        "end_time": text(end),
        "duration": 1200.0,
    }


def unreadable(submitted_at: datetime) -> Document:
    """A document that cannot be read as a record: one of its Flink Job IDs is a number."""
    return record("unreadable_1795300000011", submitted_at, "RUNNING", flink_jobs=[{"id": 42}])


def sync_run(started_at: datetime, *, reachable: bool = True) -> Document:
    """The report of a complete pass, as it is kept."""
    error = None if reachable else "ConnectError: [Errno 111] Connection refused"
    return {
        "run_id": f"run{started_at.timestamp():.0f}",
        "started_at": started_at,
        "duration_seconds": 0.412,
        "complete": True,
        "whole": True,
        "skipped": False,
        "scanned": 4,
        "unresolved": 2,
        "resolved": 0,
        "changed": {},
        "unchanged": 4,
        "conflicts": 0,
        "errors": [],
        "clusters": {"default": {"reachable": reachable, "jobs": 3 if reachable else None, "error": error}},
    }


def unmanaged(cluster: str, seen_at: datetime, jobs: Sequence[Document]) -> Document:
    """The Flink jobs without a record of one cluster, as sync keeps them."""
    return {"_id": cluster, "seen_at": seen_at, "digest": "x", "count": len(jobs), "jobs": list(jobs)}


def cleanup_run(started_at: datetime) -> Document:
    """The report of a cleanup run, as it is kept."""
    return {
        "run_id": f"cleanup{started_at.timestamp():.0f}",
        "started_at": started_at,
        "duration_seconds": 1.2,
        "dry_run": False,
        "complete": True,
        "scanned": 9,
        "deleted": 4,
        "names": [],
        "kept": {"YOUNG": 5},
        "errors": [],
        "oldest_kept_hours": 23.5,
    }


TEMPLATES = (
    "orders_enrich",
    "daily_report",
    "clicks_hourly",
    "user_features",
    "recommender_train",
    "sessions_archive",
)
SHARES = {"FINISHED": 0.88, "FAILED": 0.07, "CANCELLED": 0.03, "LOST": 0.01, "RUNNING": 0.01}


def many(count: int, *, now: datetime, span: timedelta, seed: int = 7) -> Iterator[Document]:
    """`count` records, spread evenly over a span of time that ended an hour ago."""
    chance = random.Random(seed)  # noqa: S311 chance for a picture, not for a secret
    words = chance.choices(list(SHARES), weights=list(SHARES.values()), k=count)
    for number, status in enumerate(words):
        submitted = now - timedelta(hours=1) - span * (number / count)
        submitted = submitted.replace(microsecond=submitted.microsecond // 1000 * 1000)
        start = submitted + timedelta(seconds=chance.randint(8, 60))
        took = timedelta(milliseconds=round(min(chance.lognormvariate(5, 1.6), 90_000) * 1000))
        template = TEMPLATES[int(chance.triangular(0, len(TEMPLATES), 0))]
        job_id = f"{template}_{1_700_000_000_000 + number}"
        end = None if status in ("RUNNING", "LOST") else start + took
        state = {"CANCELLED": "CANCELED", "LOST": "RUNNING"}.get(status, status)
        flink_id = f"{chance.getrandbits(128):032x}"
        found = in_flink(flink_id, start, end, state=state)
        if status == "FAILED" and chance.random() < 0.3:
            reason = because("SUBMIT_FAILED", "KeyError: 'day'", submitted)
            yield record(job_id, submitted, status, submitter_done=True, reason=reason)
        elif status == "FAILED":
            yield record(job_id, submitted, status, reason=because("JOB_FAILED", TRACE, start), **found)
        elif status == "LOST":
            yield record(
                job_id, submitted, status, reason=because("OUTCOME_UNKNOWN", "forgotten", start), **found
            )
        else:
            yield record(job_id, submitted, status, **found)
