"""Codes of doctor's findings, and the remedy of each finding and reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from flinkjobs.domain.reasons import REASONS


class Code(StrEnum):
    """Cause of a finding, for programs; stable. A finding about a record has the record's `ReasonCode`."""

    SETTINGS = "SETTINGS"
    SETTING_MISSING = "SETTING_MISSING"
    FUNCTIONS_ONLY = "FUNCTIONS_ONLY"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_REFUSED = "STORE_REFUSED"
    STORE_NOT_WRITABLE = "STORE_NOT_WRITABLE"
    INDEX_MISSING = "INDEX_MISSING"
    KUBERNETES_UNAVAILABLE = "KUBERNETES_UNAVAILABLE"
    KUBERNETES_REFUSED = "KUBERNETES_REFUSED"
    KUBERNETES_UNAUTHORIZED = "KUBERNETES_UNAUTHORIZED"
    KUBERNETES_ANONYMOUS = "KUBERNETES_ANONYMOUS"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    FLINK_UNAVAILABLE = "FLINK_UNAVAILABLE"
    FLINK_NO_TASKMANAGER = "FLINK_NO_TASKMANAGER"
    FLINK_NO_FREE_SLOT = "FLINK_NO_FREE_SLOT"
    HISTORY_UNAVAILABLE = "HISTORY_UNAVAILABLE"
    FUNCTION_UNAVAILABLE = "FUNCTION_UNAVAILABLE"
    FUNCTION_REFUSED = "FUNCTION_REFUSED"
    SCHEDULER_UNAVAILABLE = "SCHEDULER_UNAVAILABLE"
    SCHEDULER_REFUSED = "SCHEDULER_REFUSED"
    SCHEDULE_MISSING = "SCHEDULE_MISSING"
    SCHEDULE_PAUSED = "SCHEDULE_PAUSED"
    SCHEDULE_CHANGED = "SCHEDULE_CHANGED"
    SCHEDULE_FAILING = "SCHEDULE_FAILING"
    SCHEDULE_SILENT = "SCHEDULE_SILENT"
    SYNC_NEVER = "SYNC_NEVER"
    SYNC_OLD = "SYNC_OLD"
    SYNC_DEAF = "SYNC_DEAF"
    JOBS_MISSING = "JOBS_MISSING"
    SYNC_ERRORS = "SYNC_ERRORS"
    CLEANUP_NEVER = "CLEANUP_NEVER"
    CLEANUP_OLD = "CLEANUP_OLD"
    CLEANUP_ERRORS = "CLEANUP_ERRORS"
    JOBMANAGER_UNREACHABLE = "JOBMANAGER_UNREACHABLE"
    SUBMIT_TIMED_OUT = "SUBMIT_TIMED_OUT"
    STILL_SUBMITTING = "STILL_SUBMITTING"
    NOT_SYNCHRONISED = "NOT_SYNCHRONISED"
    WAITING_IN_FLINK = "WAITING_IN_FLINK"
    CAUSE_UNKNOWN = "CAUSE_UNKNOWN"
    UNREADABLE_RECORD = "UNREADABLE_RECORD"


REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{code.value: info.en.remedy for code, info in REASONS.items()},
        # settings
        Code.SETTINGS: "Set this variable as the README's table of settings says, for doctor and for the "
        "functions.",
        Code.SETTING_MISSING: "Set it: the function that needs it does not start without.",
        Code.FUNCTIONS_ONLY: "Where the other lines do not say enough, run doctor inside the functions' "
        "network, with their settings.",
        # MongoDB
        Code.STORE_UNAVAILABLE: "Start MongoDB, or correct the host and port in MONGODB_URI; then look at "
        "the network between.",
        Code.STORE_REFUSED: "Correct the user, the password or authSource in MONGODB_URI, or the user's "
        "roles.",
        Code.STORE_NOT_WRITABLE: "Let the user of MONGODB_URI write to the database, and connect to a "
        "primary.",
        Code.INDEX_MISSING: "Run `flinkjobs indexes`; it says why one cannot be made.",
        # Kubernetes
        Code.KUBERNETES_UNAVAILABLE: "Correct the API server's address (K8S_AUTH, KUBECONFIG); then look "
        "at the network between.",
        Code.KUBERNETES_REFUSED: "Look at K8S_AUTH and at what it reads.",
        Code.KUBERNETES_UNAUTHORIZED: "The API server does not accept this token or certificate: renew it "
        "(K8S_AUTH says which credentials are used).",
        Code.KUBERNETES_ANONYMOUS: "Look at K8S_AUTH and KUBECONFIG: what was sent says nobody's name.",
        Code.PERMISSION_MISSING: "Bind the Role of deploy/kubernetes/rbac.yaml to this identity.",
        # Flink
        Code.FLINK_UNAVAILABLE: "Start the JobManager, or correct FLINK_REST_URL (FLINK_CLUSTERS). No "
        "status changes until it answers.",
        Code.FLINK_NO_TASKMANAGER: "Start the TaskManagers; their logs say why they do not find the "
        "JobManager.",
        Code.FLINK_NO_FREE_SLOT: "Add TaskManagers, or cancel what is not needed.",
        Code.HISTORY_UNAVAILABLE: "Start the History Server, or correct FLINK_HISTORY_URL. Jobs that Flink "
        "has forgotten wait for it.",
        # the deployed functions
        Code.FUNCTION_UNAVAILABLE: "Look at the function's log: it is not there, or lacks what it says here.",
        Code.FUNCTION_REFUSED: "Let this identity invoke the function (FLINKJOBS_AUTH, FLINKJOBS_TOKEN), or "
        "correct its URL.",
        # schedules
        Code.SCHEDULER_UNAVAILABLE: "Try again; then look at SCHEDULER_ENDPOINT.",
        Code.SCHEDULER_REFUSED: "Look at SCHEDULER_PARENT, and at the credentials for Cloud Scheduler.",
        Code.SCHEDULE_MISSING: "Run `flinkjobs schedules apply`.",
        Code.SCHEDULE_PAUSED: "Run `flinkjobs schedules resume sync` (or cleanup).",
        Code.SCHEDULE_CHANGED: "Run `flinkjobs schedules apply`, or correct the setting.",
        Code.SCHEDULE_FAILING: "Look at the function's log.",
        Code.SCHEDULE_SILENT: "Run `flinkjobs schedules run sync` (or cleanup); then look at the "
        "scheduler's own log.",
        # runs
        Code.SYNC_NEVER: "Run `flinkjobs sync`, and look at what it reports.",
        Code.SYNC_OLD: "Run `flinkjobs sync`; then look at who should have called sync, and at its log.",
        Code.SYNC_DEAF: "If doctor reaches this peer and sync does not, look at the function's settings "
        "and network.",
        Code.JOBS_MISSING: "Either the JobManager was restarted without high availability, or pods submit to "
        "another cluster: FLINK_JOBMANAGER and FLINK_REST_URL must be one.",
        Code.SYNC_ERRORS: "Look at each: `flinkjobs show ID`.",
        Code.CLEANUP_NEVER: "Nothing, before the first night. `flinkjobs cleanup --dry-run` says what "
        "would go.",
        Code.CLEANUP_OLD: "Look at who should have called cleanup, and at its log.",
        Code.CLEANUP_ERRORS: "The next one tries again; look at it if it stays.",
        # records
        Code.STILL_SUBMITTING: "Look at `flinkjobs logs ID`; after SUBMIT_TIMEOUT_SECONDS it is stopped.",
        Code.NOT_SYNCHRONISED: "Run `flinkjobs sync ID`, and look at what it reports.",
        Code.WAITING_IN_FLINK: "Look at the job in Flink's web page: it waits for slots, or recovers.",
        Code.CAUSE_UNKNOWN: "Look at `kubectl describe job,pod` of it.",
        Code.JOBMANAGER_UNREACHABLE: "Correct FLINK_JOBMANAGER, the host and REST port (8081) to which pods "
        "submit, or let the pods' network reach it; then submit again.",
        Code.SUBMIT_TIMED_OUT: "Either the script does not come to its submission, or the pod cannot reach "
        "FLINK_JOBMANAGER: `flinkjobs logs ID`.",
        Code.UNREADABLE_RECORD: "Correct the document by hand: nothing follows it until then.",
    }
)
"""What to do next, by `Code` and `ReasonCode`; those of reasons come from `REASONS`."""

ATTEMPTS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        4: ("DEADLINE_EXCEEDED", "The function takes longer than the schedule lets it: look at its log."),
        5: ("NOT_FOUND", "Nothing answers there: correct the function's URL, or deploy it again."),
        7: ("PERMISSION_DENIED", "Give the schedule's service account the right to invoke the function."),
        13: ("INTERNAL", "The function failed: look at its log."),
        14: ("UNAVAILABLE", "The function answers that it is unavailable: look at its log and its /ready."),
        16: (
            "UNAUTHENTICATED",
            "The function does not accept the scheduler's token: its audience must be the function's URL.",
        ),
    }
)
"""Name and remedy by the status code of a schedule's last attempt, a google.rpc.Code:
https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""
