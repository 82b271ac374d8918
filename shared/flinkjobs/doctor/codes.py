"""Codes of doctor's findings, and the remedy of each finding and reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from flinkjobs.domain.reasons import REASONS


class Code(StrEnum):
    """Cause of a finding, for programs; stable. A finding about a record has the record's `ReasonCode`."""

    SETTINGS = "SETTINGS"
    SETTING_MISSING = "SETTING_MISSING"
    JOBMANAGER_DERIVED = "JOBMANAGER_DERIVED"
    FUNCTIONS_ONLY = "FUNCTIONS_ONLY"
    VERSION_TOO_OLD = "VERSION_TOO_OLD"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    STORE_REFUSED = "STORE_REFUSED"
    STORE_NOT_WRITABLE = "STORE_NOT_WRITABLE"
    INDEX_MISSING = "INDEX_MISSING"
    KUBERNETES_UNAVAILABLE = "KUBERNETES_UNAVAILABLE"
    KUBERNETES_REFUSED = "KUBERNETES_REFUSED"
    KUBERNETES_UNAUTHORIZED = "KUBERNETES_UNAUTHORIZED"
    KUBERNETES_ANONYMOUS = "KUBERNETES_ANONYMOUS"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    SIDECAR_RUNS = "SIDECAR_RUNS"
    FLINK_UNAVAILABLE = "FLINK_UNAVAILABLE"
    FLINK_CERTIFICATE = "FLINK_CERTIFICATE"
    FLINK_CREDENTIAL = "FLINK_CREDENTIAL"
    FLINK_NO_TASKMANAGER = "FLINK_NO_TASKMANAGER"
    FLINK_LINES_DIFFER = "FLINK_LINES_DIFFER"
    FLINK_NO_FREE_SLOT = "FLINK_NO_FREE_SLOT"
    HISTORY_UNAVAILABLE = "HISTORY_UNAVAILABLE"
    FUNCTION_UNAVAILABLE = "FUNCTION_UNAVAILABLE"
    FUNCTION_REFUSED = "FUNCTION_REFUSED"
    SIGN_IN_PASSED_BY = "SIGN_IN_PASSED_BY"
    SCHEDULER_UNAVAILABLE = "SCHEDULER_UNAVAILABLE"
    SCHEDULER_REFUSED = "SCHEDULER_REFUSED"
    SCHEDULE_MISSING = "SCHEDULE_MISSING"
    SCHEDULE_PAUSED = "SCHEDULE_PAUSED"
    SCHEDULE_CHANGED = "SCHEDULE_CHANGED"
    SCHEDULE_FAILING = "SCHEDULE_FAILING"
    SCHEDULE_SILENT = "SCHEDULE_SILENT"
    SYNC_NEVER = "SYNC_NEVER"
    SYNC_OLD = "SYNC_OLD"
    SYNC_PEER_UNREACHABLE = "SYNC_PEER_UNREACHABLE"
    JOBS_MISSING = "JOBS_MISSING"
    SYNC_ERRORS = "SYNC_ERRORS"
    CLEANUP_NEVER = "CLEANUP_NEVER"
    CLEANUP_OLD = "CLEANUP_OLD"
    CLEANUP_ERRORS = "CLEANUP_ERRORS"
    NOTIFY_UNKNOWN = "NOTIFY_UNKNOWN"
    NOTIFY_FAILING = "NOTIFY_FAILING"
    NOTIFY_GONE = "NOTIFY_GONE"
    NOTIFY_SET_ASIDE = "NOTIFY_SET_ASIDE"
    NOTIFY_LATE = "NOTIFY_LATE"
    JOBMANAGER_UNREACHABLE = "JOBMANAGER_UNREACHABLE"
    SUBMIT_TIMED_OUT = "SUBMIT_TIMED_OUT"
    STILL_SUBMITTING = "STILL_SUBMITTING"
    NOT_SYNCHRONISED = "NOT_SYNCHRONISED"
    WAITING_IN_FLINK = "WAITING_IN_FLINK"
    CAUSE_UNKNOWN = "CAUSE_UNKNOWN"
    UNREADABLE_RECORD = "UNREADABLE_RECORD"


class CodeInfo(NamedTuple):
    """Texts of a code.

    Attributes:
        found: what the check found, for docs/how-to/operations.md.
        remedy: what to do next.
    """

    found: str
    remedy: str


CODES: Final[Mapping[Code, CodeInfo]] = MappingProxyType(
    {
        # settings
        Code.SETTINGS: CodeInfo(
            "a setting is missing or wrong",
            "Set this variable as docs/reference/settings.md says, for doctor and for the functions.",
        ),
        Code.SETTING_MISSING: CodeInfo(
            "a setting that some functions need is not set",
            "Set it: a function that needs it does not start without it.",
        ),
        Code.JOBMANAGER_DERIVED: CodeInfo(
            "`flink run` gets an address made of the REST URL, which lacks a part of it",
            "Set FLINK_JOBMANAGER (`jobmanager` in FLINK_CLUSTERS) to the address that the pods submit to: "
            "`host:port`, or since Flink 1.19 a URL. What TLS needs belongs to `flink_conf`.",
        ),
        Code.FUNCTIONS_ONLY: CodeInfo(
            "only the URLs of the functions are set here, or a function is closed to the outside",
            "To check the rest, run doctor inside the functions' network, with their settings.",
        ),
        # MongoDB
        Code.VERSION_TOO_OLD: CodeInfo(
            "MongoDB, Kubernetes or Flink is older than the minimum in the README",
            "Upgrade it to the minimum version or a newer one.",
        ),
        Code.STORE_UNAVAILABLE: CodeInfo(
            "MongoDB does not answer",
            "Start MongoDB, or correct the host and port in MONGODB_URI; then check DNS and the network.",
        ),
        Code.STORE_REFUSED: CodeInfo(
            "MONGODB_URI or a file that it names cannot be used, or MongoDB refuses the user or a request",
            "Correct what the message names in MONGODB_URI (an option, a file, the user, the password, "
            "authSource), or the user's roles.",
        ),
        Code.STORE_NOT_WRITABLE: CodeInfo(
            "MongoDB can be read, not written to",
            "Let the user of MONGODB_URI write to the database, and connect to a primary.",
        ),
        Code.INDEX_MISSING: CodeInfo(
            "`flink_jobs` lacks an index, and queries read the whole collection",
            "Run `flinkjobs indexes`; it says why one cannot be made.",
        ),
        # Kubernetes
        Code.KUBERNETES_UNAVAILABLE: CodeInfo(
            "the API server does not answer",
            "Correct the API server's address (K8S_AUTH, KUBECONFIG); then check the network.",
        ),
        Code.KUBERNETES_REFUSED: CodeInfo(
            "there are no usable credentials, or the API server refuses what is asked",
            "Check K8S_AUTH and the credentials that it selects.",
        ),
        Code.KUBERNETES_UNAUTHORIZED: CodeInfo(
            "the API server does not know these credentials",
            "The API server does not accept this token or certificate: renew it (K8S_AUTH says which "
            "credentials are used).",
        ),
        Code.KUBERNETES_ANONYMOUS: CodeInfo(
            "the API server got no credentials",
            "Check K8S_AUTH and KUBECONFIG: the request carried no credentials.",
        ),
        Code.PERMISSION_MISSING: CodeInfo(
            "the Role lacks a verb that a function uses",
            "Bind the function's Role of deploy/kubernetes/rbac.yaml to its identity. `--function` names the "
            "function of an identity that has another name than there: then only its verbs are checked.",
        ),
        Code.SIDECAR_RUNS: CodeInfo(
            "a sidecar keeps a Job active although its submitter has ended",
            "Keep the injector away from the submitter's pods (`K8S_ALLOW_INJECTION`), or inject an init "
            "container with `restartPolicy: Always`, which Kubernetes ends. The record is not affected; "
            "cleanup deletes the Job after the retention.",
        ),
        # Flink
        Code.FLINK_UNAVAILABLE: CodeInfo(
            "the cluster's REST API does not answer as Flink does",
            "Start the JobManager, or correct FLINK_REST_URL (FLINK_CLUSTERS). No status changes "
            "until it answers.",
        ),
        Code.FLINK_CERTIFICATE: CodeInfo(
            "the certificate of the cluster's REST API is not trusted",
            "Name the file of its authority in `ca_file` of FLINK_CLUSTERS, or correct the host in the URL. "
            "No status changes until it is trusted.",
        ),
        Code.FLINK_CREDENTIAL: CodeInfo(
            "the cluster's REST API, or a proxy before it, wants a credential or another one",
            "Set or renew `client_cert_file`, `token_file` or `google_audience` of FLINK_CLUSTERS, or the "
            "user in the URL. No status changes until it is accepted.",
        ),
        Code.FLINK_NO_TASKMANAGER: CodeInfo(
            "the JobManager answers, but has no TaskManager to run jobs on",
            "Start the TaskManagers; their logs say why they do not find the JobManager.",
        ),
        Code.FLINK_LINES_DIFFER: CodeInfo(
            "the submitter's image has another line of Flink (major and minor version) than the cluster",
            "Set FLINK_IMAGE to an image with the cluster's line of Flink, and submit again. A JobManager "
            "refuses the jobs of another line, with an error about a class or a field.",
        ),
        Code.FLINK_NO_FREE_SLOT: CodeInfo(
            "the next job has to wait for another to end",
            "Add TaskManagers, or cancel what is not needed.",
        ),
        Code.HISTORY_UNAVAILABLE: CodeInfo(
            "the History Server does not answer",
            "Start the History Server, or correct FLINK_HISTORY_URL. Jobs that Flink no longer "
            "knows wait for it.",
        ),
        # the deployed functions
        Code.FUNCTION_UNAVAILABLE: CodeInfo(
            "a deployed function does not answer, or is not ready",
            "Check that the function is deployed, then its log and the settings that this line names.",
        ),
        Code.FUNCTION_REFUSED: CodeInfo(
            "a deployed function refuses this identity",
            "Let this identity invoke the function (FLINKJOBS_AUTH, FLINKJOBS_TOKEN), or correct its URL.",
        ),
        Code.SIGN_IN_PASSED_BY: CodeInfo(
            "TRUSTED_USER_HEADER is set here, and jobs answers without the header",
            "Let only the sign-in proxy reach jobs (deploy/kubernetes/sign-in has the NetworkPolicy); set "
            "TRUSTED_USER_HEADER for jobs. Until then, a caller that reaches jobs can claim to be any user.",
        ),
        # schedules
        Code.SCHEDULER_UNAVAILABLE: CodeInfo(
            "Cloud Scheduler does not answer",
            "Try again; then check SCHEDULER_ENDPOINT.",
        ),
        Code.SCHEDULER_REFUSED: CodeInfo(
            "Cloud Scheduler refuses the request",
            "Check SCHEDULER_PARENT and the credentials for Cloud Scheduler.",
        ),
        Code.SCHEDULE_MISSING: CodeInfo(
            "there is no such schedule",
            "Run `flinkjobs schedules apply`.",
        ),
        Code.SCHEDULE_PAUSED: CodeInfo(
            "the schedule is paused",
            "Run `flinkjobs schedules resume sync` (or cleanup).",
        ),
        Code.SCHEDULE_CHANGED: CodeInfo(
            "the schedule runs less often than configured, or calls another URL",
            "Run `flinkjobs schedules apply`, or correct the setting.",
        ),
        Code.SCHEDULE_FAILING: CodeInfo(
            "its last request failed; the remedy depends on how",
            "Check the function's log.",
        ),
        Code.SCHEDULE_SILENT: CodeInfo(
            "the schedule is enabled, but has not run for three periods",
            "Run `flinkjobs schedules run sync` (or cleanup); then check the log of Cloud Scheduler.",
        ),
        # runs
        Code.SYNC_NEVER: CodeInfo(
            "no full pass has completed in the last two weeks; a warning until the schedule has run for the "
            "first time",
            "Run `flinkjobs sync` and read its report.",
        ),
        Code.SYNC_OLD: CodeInfo(
            "the last complete pass is older than three periods",
            "Run `flinkjobs sync`; then check the schedule and its log.",
        ),
        Code.SYNC_PEER_UNREACHABLE: CodeInfo(
            "the last pass could not ask a cluster or Kubernetes",
            "If doctor reaches this peer and sync does not, check the function's settings, Role and network.",
        ),
        Code.JOBS_MISSING: CodeInfo(
            "a cluster answers, but does not know jobs that should run on it",
            "Either the JobManager was restarted without high availability, or pods submit to "
            "another cluster: FLINK_JOBMANAGER and FLINK_REST_URL must name the same cluster.",
        ),
        Code.SYNC_ERRORS: CodeInfo(
            "the last pass could not follow some records",
            "Check each one: `flinkjobs show ID`.",
        ),
        Code.CLEANUP_NEVER: CodeInfo(
            "no cleanup has run yet",
            "Nothing before its first scheduled run. `flinkjobs cleanup --dry-run` lists what would be "
            "deleted.",
        ),
        Code.CLEANUP_OLD: CodeInfo(
            "the last cleanup is older than its period and two hours",
            "Check the schedule of cleanup and its log.",
        ),
        Code.CLEANUP_ERRORS: CodeInfo(
            "the last cleanup could not delete every object that was due",
            "The next run tries again. If the error remains, check the log of cleanup.",
        ),
        # notifications
        Code.NOTIFY_UNKNOWN: CodeInfo(
            "NOTIFY_CHANNELS names a channel here that sync has not been given",
            "Set NOTIFY_CHANNELS for sync too, and let a pass run.",
        ),
        Code.NOTIFY_FAILING: CodeInfo(
            "a channel takes no events",
            "Correct what the message names, in NOTIFY_CHANNELS or at the receiver; "
            "`flinkjobs notify test CHANNEL` tries it. Events wait for 24 hours; "
            "`flinkjobs notify retry CHANNEL` lets the next pass send at once.",
        ),
        Code.NOTIFY_GONE: CodeInfo(
            "a channel's receiver has answered 410: it wants no events any more",
            "Take the channel out of NOTIFY_CHANNELS; or, where the receiver is back, run "
            "`flinkjobs notify retry CHANNEL`.",
        ),
        Code.NOTIFY_SET_ASIDE: CodeInfo(
            "a channel was not sent all events: it failed for 24 hours, or answered 410, or the history lost "
            "moves",
            "Check what happened in that time: `flinkjobs jobs`. `flinkjobs notify retry CHANNEL` counts "
            "from 0 again.",
        ),
        Code.NOTIFY_LATE: CodeInfo(
            "events wait although no channel fails",
            "Check the log of sync: its passes end before they have sent everything "
            "(SYNC_BUDGET_SECONDS), or do not run.",
        ),
        # records
        Code.STILL_SUBMITTING: CodeInfo(
            "the pod runs, but has not submitted a job yet",
            "Check `flinkjobs logs ID`; after SUBMIT_TIMEOUT_SECONDS the pod is stopped.",
        ),
        Code.NOT_SYNCHRONISED: CodeInfo(
            "the pod has printed an id that no pass has read",
            "Run `flinkjobs sync ID` and read its report.",
        ),
        Code.WAITING_IN_FLINK: CodeInfo(
            "Flink has accepted the job, but does not run it yet",
            "Check the job in Flink's web UI: it waits for slots, or recovers.",
        ),
        Code.CAUSE_UNKNOWN: CodeInfo(
            "the job waits, and its Kubernetes Job, its pods or their events could not be read",
            "Check `kubectl describe job,pod`.",
        ),
        Code.JOBMANAGER_UNREACHABLE: CodeInfo(
            "`flink run` ran in the pod, but reached no JobManager's REST API",
            "Correct FLINK_JOBMANAGER, the host and REST port (8081) to which pods submit, or let "
            "the pods' network reach it; then submit again.",
        ),
        Code.SUBMIT_TIMED_OUT: CodeInfo(
            "`flink run` was stopped after SUBMIT_TIMEOUT_SECONDS",
            "Either the script takes too long to submit, or the pod cannot reach FLINK_JOBMANAGER: check "
            "`flinkjobs logs ID`.",
        ),
        Code.UNREADABLE_RECORD: CodeInfo(
            "a document of `flink_jobs` cannot be read as a record",
            "Correct the document by hand: until then, sync skips it.",
        ),
    }
)
"""Every code of doctor; docs/how-to/operations.md holds this table (`make reasons`)."""

REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{code.value: info.en.remedy for code, info in REASONS.items()},
        **{code.value: info.remedy for code, info in CODES.items()},
    }
)
"""What to do next, by `Code` and `ReasonCode`."""

ATTEMPTS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        4: ("DEADLINE_EXCEEDED", "The function runs longer than the schedule's deadline: check its log."),
        5: ("NOT_FOUND", "Nothing answers there: correct the function's URL, or deploy it again."),
        7: ("PERMISSION_DENIED", "Give the schedule's service account the right to invoke the function."),
        13: ("INTERNAL", "The function failed: check its log."),
        14: ("UNAVAILABLE", "The function answers that it is unavailable: check its log and its /ready."),
        16: (
            "UNAUTHENTICATED",
            "The function does not accept the scheduler's token: its audience must be the function's URL.",
        ),
    }
)
"""Name and remedy by the status code of a schedule's last attempt, a google.rpc.Code:
https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""
