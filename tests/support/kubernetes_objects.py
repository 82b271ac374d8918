"""Kubernetes objects for tests, as values and as the raw JSON that an API server sends."""

from datetime import UTC, datetime
from typing import Any

from flinkjobs.domain.kubernetes_objects import Container, KubernetesJob, Pod, Terminated, Waiting
from flinkjobs.domain.observations import JobPhase

NOON = datetime(2025, 11, 1, 12, tzinfo=UTC)
NOON_TEXT = "2025-11-01T12:00:00Z"


def condition(kind: str, status: str = "True", **fields: str | None) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": NOON_TEXT, **fields}


def raw_job(*, conditions: Any = (), **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "flink-py-etl-0a1b2c3d",
            "uid": "11111111-2222-3333-4444-555555555555",
            "creationTimestamp": NOON_TEXT,
            "annotations": {"flinkjobs/job-id": "etl_1761998400000"},
        },
        "spec": {},
        "status": {"conditions": conditions, **status},
    }


def raw_pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "flink-py-etl-0a1b2c3d-x7k2p",
            "uid": "66666666-7777-8888-9999-000000000000",
            "creationTimestamp": NOON_TEXT,
            "labels": {"batch.kubernetes.io/job-name": "flink-py-etl-0a1b2c3d"},
        },
        "status": status,
    }


def job(
    phase: JobPhase = JobPhase.ACTIVE, *, created_at: datetime | None = NOON, **fields: Any
) -> KubernetesJob:
    return KubernetesJob(
        **{
            "name": "flink-py-etl-0a1b2c3d",
            "uid": "u",
            "job_id": "etl_1",
            "phase": phase,
            "created_at": created_at,
        }
        | fields
    )


def container(
    state: Waiting | Terminated | None,
    *,
    name: str = "submit",
    is_init: bool = False,
    is_sidecar: bool = False,
) -> Container:
    return Container(name=name, state=state, is_init=is_init, is_sidecar=is_sidecar)


def ended(exit_code: int = 0, *, message: str = "", reason: str = "") -> Terminated:
    return Terminated(
        exit_code=exit_code, reason=reason or ("Error" if exit_code else "Completed"), message=message
    )


def pod(
    phase: str = "Running",
    *containers: Container,
    name: str = "pod-1",
    created_at: datetime | None = NOON,
    **fields: Any,
) -> Pod:
    return Pod(
        **{
            "name": name,
            "uid": name,
            "job_name": "flink-py-etl-0a1b2c3d",
            "created_at": created_at,
            "phase": phase,
            "containers": containers,
        }
        | fields
    )
