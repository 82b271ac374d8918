"""One record as people see it: its fields, its story, and the spec without its secrets. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from flinkjobs.errors import cut
from flinkjobs.kube import KubernetesJob, Pod
from flinkjobs.listing import Row
from flinkjobs.model import FlinkJobRef, JobRecord, ReasonCode, Status, UnreadableRecord
from flinkjobs.names import selector_of
from flinkjobs.states import FINAL, OPEN, TERMINAL_STATES

JOB_FIELDS: Final = (
    *("job_id", "template_id", "job_name", "cluster", "submitted_by", "k8s_job_name"),
    *("flink_job_id", "flink_job_ids", "status", "flink_state", "submitted_at", "start_time", "end_time"),
    *("updated_at", "duration", "reason"),
)

MAX_SPEC_TEXT: Final = 16_384
"""Characters shown of one value of a spec; a script sent along may be longer."""

HIDDEN: Final = "******"
"""What Flink's own pages show in the place of a secret."""

_SECRET_NAME: Final = re.compile(
    r"password|passwd|passphrase|pwd|secret|token|credential|auth-params|basic-auth|jaas\.config|http-headers"
    r"|signature|(?:^|[._-])sig$"
    r"|(?:^|[._-]|access|account|service|api)key(?![a-z])",
    re.IGNORECASE,
)
"""Names whose values are secrets: those which Flink's own pages hide, because they contain one of the words
of `GlobalConfiguration.SENSITIVE_KEYS` in any case (as of Flink 1.20), and besides them every kind of key."""
_OPTION: Final = re.compile(r"-{1,2}(?P<name>[\w.-]+)(?P<value>=.*)?", re.DOTALL)
_ASSIGNMENT: Final = re.compile(r"(?P<name>[\w.-]+)(?P<value>=.*)", re.DOTALL)
"""A value by its name without dashes, as it stands behind `-D`."""
_USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_PARAMETER: Final = re.compile(r"(?<=[?&;])(?P<name>[\w.-]+)=[^&;#\s]*")
"""One parameter of a URL: that of a signed one opens what it points at."""
_K8S_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


# --- fields -----------------------------------------------------------------------------------------


def job_view(row: Row) -> dict[str, Any]:
    """The fields of a record; one that cannot be read says why, and everything else is None."""
    record = row.record
    if isinstance(record, JobRecord):
        try:
            return _readable(record, row.details)
        except (TypeError, ValueError) as error:
            record = UnreadableRecord(record.job_id, cut(f"{type(error).__name__}: {error}", 200))
    job_id = _text(row.details.get("job_id"))
    return {**dict.fromkeys(JOB_FIELDS), "job_id": job_id, "unreadable": record.error}


def _readable(record: JobRecord, details: Mapping[str, Any]) -> dict[str, Any]:
    reason = record.reason
    return {
        "job_id": record.job_id,
        "template_id": _text(details.get("template_id")),
        "job_name": _text(details.get("job_name")),
        "cluster": record.cluster,
        "submitted_by": _text(details.get("submitted_by")),
        "k8s_job_name": record.k8s_job_name,
        "flink_job_id": record.flink_job_id,
        "flink_job_ids": list(record.flink_job_ids),
        "status": record.status.value,
        "flink_state": record.flink_state,
        "submitted_at": record.submitted_at,
        "start_time": record.start_time,
        "end_time": record.end_time,
        "updated_at": details.get("updated_at"),
        "duration": _number(record.duration),
        "reason": reason and {"code": reason.code.value, "message": reason.message, "since": reason.since},
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"duration is no number but {cut(repr(value), 80)}")
    return value


def flink_job_view(ref: FlinkJobRef, ui_url: str | None, history_url: str | None) -> dict[str, Any]:
    """One Flink job of a record.

    Args:
        ref: as the record holds it.
        ui_url: base address of its cluster's web UI; None where the cluster is not configured.
        history_url: base address of its History Server's, which knows jobs that are over; None without one.
    """
    is_over = ref.state in TERMINAL_STATES
    folder = "completed" if is_over else "running"
    may_be_history = is_over or ref.missing_since is not None
    return {
        "flink_job_id": ref.id,
        "source": ref.source.value,
        "confirmed": ref.confirmed,
        "state": ref.state,
        "start_time": ref.start_time,
        "end_time": ref.end_time,
        "missing_since": ref.missing_since,
        "ui_url": ui_url and f"{ui_url}/#/job/{folder}/{ref.id}/overview",
        "history_url": f"{history_url}/#/job/completed/{ref.id}/overview"
        if history_url and may_be_history
        else None,
    }


def kubectl_lines(namespace: str, job_id: str, job_name: str) -> list[str]:
    """Commands that show the Kubernetes Job, its pods, their events and what they printed.

    None for a name that no Job can have: whoever pastes a command must not paste options or control
    characters that somebody wrote into a record.
    """
    if not _K8S_NAME.fullmatch(job_name):
        return []
    here = f"-n {shlex.quote(namespace)}"
    ours = f"-l {shlex.quote(selector_of(job_id))}"
    return [
        f"kubectl get job,pods {here} {ours}",
        f"kubectl describe job,pods {here} {ours}",
        f"kubectl logs {here} {shlex.quote(f'job/{job_name}')} --all-containers",
    ]


# --- the story --------------------------------------------------------------------------------------


def story(
    record: JobRecord, details: Mapping[str, Any], job: KubernetesJob | None, pods: Sequence[Pod]
) -> list[dict[str, Any]]:
    """What happened to a job, oldest first; each event with its time, where that is known, and its facts.

    Args:
        record: the record.
        details: what only people need of the document.
        job: its Kubernetes Job, where that exists.
        pods: the pods of the Job, in the order of their creation.
    """
    told: list[dict[str, Any]] = []

    def tell(at: datetime | None, event: str, **data: Any) -> None:
        told.append({"at": at, "event": event, "data": data})

    tell(
        record.submitted_at,
        "submitted",
        template_id=_text(details.get("template_id")),
        by=_text(details.get("submitted_by")),
        k8s_job_name=record.k8s_job_name,
        cluster=record.cluster,
    )
    for pod in pods if job else ():
        tell(pod.started_at or pod.created_at, "pod", pod=pod.name, phase=pod.phase)
    for ref in record.flink_jobs:
        tell(None, "id_found", flink_job_id=ref.id, source=ref.source.value, confirmed=ref.confirmed)
        if ref.start_time is not None:
            tell(ref.start_time, "started", flink_job_id=ref.id)
    for ref in record.flink_jobs:
        if ref.missing_since is not None:
            tell(ref.missing_since, "missing", flink_job_id=ref.id)
        if ref.end_time is not None and len(record.flink_jobs) > 1:
            tell(ref.end_time, "flink_ended", flink_job_id=ref.id, state=ref.state)
    reason = record.reason
    code, message = (reason.code.value, reason.message) if reason else (None, None)
    if record.status in OPEN and reason is not None:
        tell(reason.since, "waiting", code=code, message=message)
    if record.status in FINAL or record.status is Status.LOST:
        at = record.end_time or (reason.since if reason else None)
        facts = {"status": record.status.value, "code": code, "message": message}
        # Submit itself saw Kubernetes refuse; of every other end without a time only a pass tells when.
        noticed = record.end_time is None and reason is not None and reason.code is not ReasonCode.K8S_REFUSED
        tell(at, "ended", **facts, duration=_number(record.duration), noticed=noticed)
    return _in_order(told)


def _in_order(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By time; an event whose time nobody knows stays behind the one before it.

    Three clocks tell the times, one of them in whole seconds: whatever they say, the beginning stays the
    beginning, and the end stays the end.
    """
    placed: list[tuple[datetime, int, dict[str, Any]]] = []
    last: datetime = told[0]["at"]
    for number, event in enumerate(told):
        last = max(event["at"] or last, told[0]["at"])
        if event["event"] == "ended":
            last = max([last, *(at for at, _, _ in placed)])
        placed.append((last, number, event))
    return [event for _, _, event in sorted(placed, key=lambda entry: entry[:2])]


# --- secrets ----------------------------------------------------------------------------------------


def without_secrets(spec: Any) -> Any:
    """A spec as submitted, but for values whose names tell that they are secrets."""
    if isinstance(spec, Mapping):
        return {
            str(name): HIDDEN if _is_secret(str(name), value) else without_secrets(value)
            for name, value in spec.items()
        }
    if isinstance(spec, list | tuple):
        return _arguments(spec)
    if isinstance(spec, str):
        shown = _USER_INFO.sub(f"{HIDDEN}@", spec)
        return cut(_PARAMETER.sub(_parameter, shown), MAX_SPEC_TEXT)
    if (
        isinstance(spec, bool | int | datetime)
        or spec is None
        or (isinstance(spec, float) and math.isfinite(spec))
    ):
        return spec
    return str(spec)


def _parameter(found: re.Match[str]) -> str:
    return f"{found['name']}={HIDDEN}" if _SECRET_NAME.search(found["name"]) else found[0]


def _is_secret(name: str, value: Any) -> bool:
    return _SECRET_NAME.search(name) is not None and not isinstance(value, Mapping | list | tuple)


def _arguments(values: Sequence[Any]) -> list[Any]:
    """Arguments of a command: `--password x`, `--password=x` and `password=x` hold a secret too."""
    shown: list[Any] = []
    is_value_of_secret = False
    for value in values:
        option = _named(value)
        is_secret = option is not None and _SECRET_NAME.search(option["name"]) is not None
        if is_value_of_secret and not str(value).startswith("--"):
            shown.append(HIDDEN)
        elif is_secret and option is not None and option["value"]:
            shown.append(value[: option.start("value") + 1] + HIDDEN)
        else:
            shown.append(without_secrets(value))
        is_value_of_secret = is_secret and option is not None and not option["value"]
    return shown


def _named(value: Any) -> re.Match[str] | None:
    """An option, with its value or without, or a value with its name."""
    if not isinstance(value, str):
        return None
    return _OPTION.fullmatch(value) or _ASSIGNMENT.fullmatch(value)
