"""The statistics as samples: what does not exist has none."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from flinkjobs.jobs.prometheus import exposition


def window(**durations: float | None) -> dict[str, Any]:
    known = {"count": 0, **dict.fromkeys(("average", "min", "max", "p50", "p95")), **durations}
    return {
        "by_status": {"FINISHED": 3, "FAILED": 1},
        "durations": known,
        "failure_rate_percent": 25.0,
        "flink_failure_rate_percent": None,
        "never_submitted": 1,
        "stopped": 2,
    }


def samples(**changed: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    metrics = {
        "windows": {
            "all": window(count=3, average=20.0, min=10.0, max=30.0, p50=20.0, p95=30.0),
            "1h": window(),
        },
        "sync": {
            "age_seconds": None,
            "stale": True,
            "clusters": {"default": {"reachable": False, "unmanaged": None}},
        },
        "cleanup": {"age_seconds": 5.0},
        "problems": [
            {"problem": "submission", "code": "QUOTA", "count": 2},
            {"problem": "submission", "code": "QUOTA", "count": 1},
        ],
        "health": {
            "by_state": {"unhealthy": 1},
            "templates": [{"template_id": None, "restarts": 12, "oldest_checkpoint_seconds": None}],
        },
        "notifications": {
            "pending": 4,
            "oldest_pending_seconds": None,
            "channels": [{"name": "ops", "delivered": 7, "failed": 2, "set_aside": 1}],
        },
        **changed,
    }
    return {
        (sample.name.removeprefix("flinkjobs_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition(metrics).decode())
        for sample in family.samples
    }


def found(name: str, **labels: str) -> float | None:
    return samples().get((name, frozenset(labels.items())))


def test_what_does_not_exist_has_no_sample() -> None:
    assert found("last_complete_sync_age_seconds") is None
    assert found("last_cleanup_age_seconds") == 5.0
    assert found("unmanaged_jobs", cluster="default") is None
    assert found("job_duration_average_seconds", window="1h") is None
    assert found("flink_failure_ratio", window="all") is None
    assert found("checkpoint_age_seconds", template="") is None
    assert found("notifications_oldest_pending_seconds") is None


def test_samples_have_the_units_of_their_names() -> None:
    assert found("failure_ratio", window="all") == 0.25
    assert found("jobs", status="FINISHED") == 3
    assert found("jobs_submitted", window="1h", status="FAILED") == 1
    assert found("jobs_stopped", window="all") == 2
    assert found("job_duration_seconds_sum", window="all") == 60.0
    assert found("job_duration_seconds", window="all", quantile="0.95") == 30.0
    assert (found("sync_stale"), found("cluster_reachable", cluster="default")) == (1, 0)
    assert found("problems", problem="submission", code="QUOTA") == 3
    assert found("restarts", template="") == 12
    assert found("notifications_total", channel="ops", result="set_aside") == 1
