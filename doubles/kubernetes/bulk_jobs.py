"""Putting many finished Jobs into the store at once, as if they had run."""

import random
from datetime import datetime, timedelta

from doubles.kubernetes.container_log import LogBook
from doubles.kubernetes.container_run import fill
from doubles.kubernetes.faults import FinishedJobs
from doubles.kubernetes.job_controller import finished_status
from doubles.kubernetes.objects import EVENTS, JOBS, PODS, Obj, owned_by, random_suffix, stamp
from doubles.kubernetes.pod_status import PodStatus
from doubles.kubernetes.store import Store
from doubles.kubernetes.validation import apply_defaults, label_pods_of_job

RUN_SECONDS = 20
"""How long each Job seems to have run."""


def add_finished_jobs(
    store: Store, logs: LogBook, wanted: FinishedJobs, *, namespace: str, source: random.Random
) -> list[str]:
    """Create the Jobs and their pods; returns the Jobs' names.

    Raises:
        ApiError: 409 when one exists already.
    """
    return [_add(store, logs, wanted, index, namespace, source) for index in range(wanted.count)]


def _add(
    store: Store, logs: LogBook, wanted: FinishedJobs, index: int, namespace: str, source: random.Random
) -> str:
    name = wanted.name.replace("{index}", str(index))
    ended = store.now() - timedelta(seconds=wanted.age_seconds)
    started = ended - timedelta(seconds=RUN_SECONDS)
    labels = {key: fill(value, name, index) for key, value in wanted.labels.items()}
    annotations = {key: fill(value, name, index) for key, value in wanted.annotations.items()}
    metadata: Obj = {
        "name": name,
        "namespace": namespace,
        "uid": f"{source.getrandbits(128):032x}",
        "labels": labels,
        "creationTimestamp": stamp(started),
        "generation": 1,
    }
    if annotations:
        metadata["annotations"] = annotations
    container = {"name": "submit", "image": "flink:1.20", "command": ["true"]}
    job: Obj = {
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
        "status": finished_status(failed=wanted.failed, started=started, ended=ended),
    }
    apply_defaults(JOBS, job)
    label_pods_of_job(job)
    job = store.create(JOBS, job)
    for number in range(wanted.events):
        store.create(EVENTS, _event(job, number, ended))
    if wanted.with_pods:
        template = job["spec"]["template"]
        pod: Obj = {
            "metadata": {
                "name": f"{name[:57]}-{random_suffix(source)}",
                "namespace": namespace,
                "labels": dict(template["metadata"]["labels"]),
                "creationTimestamp": stamp(started),
                "ownerReferences": owned_by(job),
                "uid": f"{source.getrandbits(128):032x}",
            },
            "spec": {**template["spec"], "nodeName": "local-node"},
        }
        status = PodStatus(pod)
        status.scheduled(started)
        status.networked()
        status.terminated(
            "submit",
            code=1 if wanted.failed else 0,
            reason="Error" if wanted.failed else "Completed",
            message=fill(wanted.message, name, index),
            started=started,
            finished=ended,
        )
        pod["status"] = status.value(ended)
        store.create(PODS, pod)
        if wanted.log:
            log = logs.open(pod["metadata"]["uid"], "submit")
            log.append(fill(wanted.log, name, index).encode(), at_ns=int(ended.timestamp() * 1e9))
            log.end()
    return name


def _event(job: Obj, number: int, at: datetime) -> Obj:
    metadata = job["metadata"]
    return {
        "metadata": {"name": f"{metadata['name']}.{number:x}", "namespace": metadata["namespace"]},
        "involvedObject": {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"]},
        "reason": "SuccessfulCreate",
        "message": f"Created pod: {metadata['name']}-{number}",
        "type": "Normal",
        "firstTimestamp": stamp(at),
        "lastTimestamp": stamp(at),
        "count": 1,
    }
