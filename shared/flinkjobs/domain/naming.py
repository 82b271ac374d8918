"""Names, labels and selectors of a job's Kubernetes objects. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

MAX_JOB_NAME: Final = 57
"""A Job's name goes into label values (63), and its pods add `-` and five characters."""


def short_hash(text: str, digits: int = 8) -> str:
    """First hex digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def slug(text: str, limit: int) -> str:
    """`text` as lower-case letters, digits and single dashes, at most `limit` characters; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].rstrip("-")


def kubernetes_job_name(template_id: str, job_id: str) -> str:
    """The deterministic name of a job's Kubernetes Job: a repeated creation meets itself."""
    suffix = f"-{short_hash(job_id)}"
    middle = slug(template_id, MAX_JOB_NAME - len("flink-py-") - len(suffix)) or "job"
    return f"flink-py-{middle}{suffix}"


def fixed_flink_job_id(job_id: str) -> str:
    """The Flink Job ID that `exactly_once` fixes: 32 hex digits that follow from the job id."""
    return short_hash(job_id, 32)


def label_safe(job_id: str) -> str:
    """The job id itself where it is a valid label value, else a readable, unique stand-in."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", job_id):
        return job_id
    return f"{slug(job_id, 50) or 'job'}-{short_hash(job_id, 12)}"


def selector_of(job_id: str) -> str:
    """Selects the Job and the pods of one job id."""
    return f"{SELECTOR},{JOB_ID_LABEL}={label_safe(job_id)}"


def selector_of_all(job_ids: Iterable[str]) -> str:
    """Selects the Jobs and the pods of these job ids."""
    return f"{SELECTOR},{JOB_ID_LABEL} in ({','.join(map(label_safe, job_ids))})"


APP_LABEL: Final = "app"
APP: Final = "flink-python-job"
"""Value of `APP_LABEL` on every Job, pod and ConfigMap of ours."""
SELECTOR: Final = f"{APP_LABEL}={APP}"
"""Selects everything of ours."""
JOB_ID_LABEL: Final = "job-id"
"""Label with the job id made safe for a label; on the Job and on its pods."""
JOB_NAME_LABEL: Final = "job-name"
"""Label with the Job's name that every Kubernetes version gives to the pods of any Job:
https://kubernetes.io/docs/reference/labels-annotations-taints/#job-name"""
JOB_ID_ANNOTATION: Final = "flinkjobs/job-id"
"""Annotation with the exact job id; on the Job and on its pods."""
SUBMIT_CONTAINER: Final = "submit"
"""Name of the container that runs `flink run`."""
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
"""Label of a Job that Kueue suspends and resumes: https://kueue.sigs.k8s.io/docs/tasks/run/jobs/"""
