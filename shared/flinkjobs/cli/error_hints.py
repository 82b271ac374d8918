"""Hints: what to do about an error, appended to its message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flinkjobs.domain.errors import BadRequestError, FlinkjobsError, TemporaryError, code_of

DOCTOR: Final = "flinkjobs doctor checks every part"

_HINTS: Final[Mapping[str, str]] = {
    "SETTINGS": "set it in the environment, in ./.env, or in a profile (--profile)",
    "STORE_UNAVAILABLE": f"check MONGODB_URI and the network; {DOCTOR}",
    "STORE_REFUSED": "check MONGODB_URI and what its user may do",
    "KUBERNETES_UNAVAILABLE": f"check K8S_AUTH, KUBECONFIG and the network; {DOCTOR}",
    "KUBERNETES_REFUSED": f"check what the identity of K8S_AUTH may do in K8S_NAMESPACE; {DOCTOR}",
    "NOTHING_REACHABLE": DOCTOR,
    "SCHEDULER_UNAVAILABLE": "check SCHEDULER_PARENT and the network, then repeat",
    "SCHEDULER_REFUSED": "check SCHEDULER_PARENT and what your Google identity may do there",
    "FUNCTION_UNAVAILABLE": f"check its URL in the settings; --direct goes past the functions; {DOCTOR}",
    "UNAUTHORIZED": "check FLINKJOBS_TOKEN, FLINKJOBS_AUTH or WEBHOOK_SECRETS",
    "TEMPLATE_MISSING": "name a script, or a template that exists",
    "IDEMPOTENCY_KEY_REUSED": "leave --idempotency-key out for a new job",
    "IN_FLIGHT": "repeat in half a minute with the same --idempotency-key",
    "JOB_NOT_OVER": "cancel or stop it first, or give --parallel",
    "ACTION_OPEN": "flinkjobs show ID follows the action; or give --parallel",
    "FROM_NEEDED": "--from PATH or --from nothing",
    "STATE_DELETED": "--from PATH or --from nothing",
    "STATE_PENDING": "repeat it after the next pass; or --from PATH",
}
"""By the stable code of the error."""

OPTION_OF: Final[Mapping[str, str]] = {
    "/template_id": "--template-id",
    "/job_name": "--job-name",
    "/flink_job_id": "FLINK_JOB_ID",
    "/job_id": "--job-id",
    "/script/path": "--path",
    "/script/url": "--url",
    "/script/inline": "SCRIPT",
    "/script": "SCRIPT",
    "/entry_module": "--entry-module",
    "/args": "--arg",
    "/parallelism": "--parallelism",
    "/py_files": "--py-file",
    "/jars": "--jar",
    "/flink_conf": "--conf",
    "/savepoint_path": "--savepoint-path",
    "/from": "--from",
    "/requested_by": "--requested-by",
    "/allow_non_restored_state": "--allow-non-restored-state",
    "/cluster": "--cluster",
    "/attached": "--attached",
    "/exactly_once": "--exactly-once",
    "/resources/cpu": "--cpu",
    "/resources/memory": "--memory",
    "/submitted_by": "--submitted-by",
    "/labels": "--label",
    "header:idempotency-key": "--idempotency-key",
    "header:webhook-id": "--idempotency-key",
    "query:status": "--status",
    "query:template_id": "--template-id",
    "query:q": "--search",
    "query:from": "--since",
    "query:to": "--until",
    "query:label": "--selector",
    "query:limit": "--limit",
    "query:cursor": "--cursor",
    "/cron": "CRON",
}
"""The option by which a person gives what a fault points at; an entry of a list counts as the list."""


def option_of(pointer: str) -> str:
    """The option for a fault's pointer, else the pointer itself."""
    found = pointer
    while found and found not in OPTION_OF:
        found = found.rpartition("/")[0]
    return OPTION_OF.get(found, pointer)


def hint_for(error: FlinkjobsError) -> str:
    """What to do about it; "" where the message says it already."""
    if isinstance(error, BadRequestError) and error.faults:
        return "; ".join(f"{option_of(fault.pointer)} {fault.detail}" for fault in error.faults)
    code = code_of(error)
    if code in _HINTS:
        return _HINTS[code]
    return f"repeat it; {DOCTOR}" if isinstance(error, TemporaryError) else ""
