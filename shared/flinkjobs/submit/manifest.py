"""Manifests of the Kubernetes objects of a submission. Pure.

Job API: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flinkjobs import USER_AGENT
from flinkjobs.domain.naming import (
    APP,
    APP_LABEL,
    JOB_ID_ANNOTATION,
    JOB_ID_LABEL,
    SUBMIT_CONTAINER,
    fixed_flink_job_id,
    kubernetes_job_name,
    label_safe,
)
from flinkjobs.domain.submitter_log import IMAGE_LACKS, MARK, SUBMITTED_LINE
from flinkjobs.submit.pod_template import SECURITY_FLOOR, merged_pod
from flinkjobs.submit.submission import (
    FETCH_CONTAINER,
    SCRIPT_DIRECTORY,
    SCRIPT_VOLUME,
    TERMINATION_MESSAGE_PATH,
    InlineScript,
    PathScript,
    Resources,
    Script,
    Submission,
    Target,
    UrlScript,
)

SCRIPT_FILE: Final = "job.py"
"""Name of a script that is mounted."""

KILL_AFTER_SECONDS: Final = 30
"""How long `flink run` may take to end after SIGTERM, before it is killed."""

DEADLINE_MARGIN_SECONDS: Final = 3600
"""The Job's own deadline deletes the pod and its log, so it is a backstop far behind the submitter's
timeout; it also bounds how long a pod may wait to be scheduled."""

TTL_SECONDS: Final = 30 * 24 * 3600
"""Kubernetes removes a finished Job after this by itself, where cleanup does not run."""

NO_INJECTION_LABELS: Final = {"sidecar.istio.io/inject": "false"}
NO_INJECTION_ANNOTATIONS: Final = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "vault.hashicorp.com/agent-inject": "false",
}
"""Keep injectors from adding containers to the pod: a sidecar that goes on after `flink run` has ended keeps
the pod, and with it the Job, active.

https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy
https://linkerd.io/2/features/proxy-injection/
https://developer.hashicorp.com/vault/docs/platform/k8s/injector/annotations
"""

LOCALE: Final = "C.UTF-8"
"""Java decodes its arguments by the locale: in that of an image which sets none, each character beyond
ASCII would arrive as question marks."""

FLINK_USER: Final = 9999
"""User id of `flink` in the official images."""

SUBMITTER: Final = f"""\
limit=$1 message=$2
shift 2
lacks() {{
  echo "{IMAGE_LACKS}$1: flink was not run"
  exit 127
}}
for tool in timeout sed "$1"; do
  type -P "$tool" >/dev/null || lacks "$tool"
done
timeout --kill-after=1 9 "$BASH" -c : 2>/dev/null || lacks "a timeout that has --kill-after"
sed -u -e '' 2>/dev/null </dev/null || lacks "a sed that has -u"
: 2>/dev/null >"$message" || message=/dev/null
timeout --kill-after={KILL_AFTER_SECONDS} "$limit" "$@" 2>&1 |
  LC_ALL=C sed -u -e "/^{SUBMITTED_LINE} [0-9a-f]\\{{32\\}}[[:space:]]*\\$/w $message"
ended=("${{PIPESTATUS[@]}}")
mapfile -t ids <"$message"
if ((ended[1] == 0 && (ended[0] == 0 || ${{#ids[@]}} > 0))); then
  printf '%s\\n' {MARK} "${{ids[@]}}" "end ${{#ids[@]}}" >"$message"
fi
exit "${{ended[0]}}"
"""
"""The container's whole program. Its values arrive as arguments: the seconds that flink may take (0: no
limit), the termination message path, and the command. It prints all that flink prints, line by line, and
exits as flink did (124: timed out). First it checks what the image must hold; without that, flink is not run.

While flink runs, sed copies the lines that carry an id to the termination message. Afterwards the program
marks the message as its own and as whole: see `submitter_log.marked_message`. Two messages get no mark. Where
flink failed and no id was seen, the message stays empty, so that Kubernetes puts the end of the log there
(`FallbackToLogsOnError`). Where sed failed, ids may be missing.
"""


class _Expanded(str):
    """An argument in which Kubernetes replaces `$(NAME)` by the container's variable."""

    __slots__ = ()


def flink_command(submission: Submission, job_id: str, target: Target) -> tuple[str, ...]:
    """The `flink run` command line, one element per value.

    Options: https://nightlies.apache.org/flink/flink-docs-stable/docs/deployment/cli/#submitting-pyflink-jobs
    The first `--` ends the options of `flink run`, the second those of its PythonDriver, which parses again
    what the first left. Behind both, no argument is taken for an option, whatever it begins with.
    """
    command = [target.flink_bin, "run"]
    if not submission.attached:
        command.append("-d")
    command += ["-m", target.jobmanager, f"-Dpipeline.name={job_id}"]
    if submission.exactly_once:
        command.append(f"-D$internal.pipeline.job-id={fixed_flink_job_id(job_id)}")
    of_cluster = {key: _Expanded(f"-D{key}={value}") for key, value in submission.cluster_conf.items()}
    own = {key: f"-D{key}={value}" for key, value in submission.flink_conf.items()}
    command += [option for _, option in sorted((of_cluster | own).items())]
    if submission.parallelism is not None:
        command += ["-p", str(submission.parallelism)]
    command += _restore_options(submission)
    for jar in submission.jars:
        command += ["-j", jar]
    if submission.py_files:
        command += ["-pyfs", ",".join(submission.py_files)]
    if submission.entry_module is not None:
        command += ["-pym", submission.entry_module]
    elif submission.script is not None:
        command += ["-py", _script_path(submission.script)]
    if submission.args:
        command += ["--", "--", *submission.args]
    return tuple(command)


def _restore_options(submission: Submission) -> list[str]:
    if submission.savepoint_path is None:
        return []
    options = ["-s", submission.savepoint_path]
    return [*options, "-n"] if submission.allow_non_restored_state else options


def _script_path(script: Script) -> str:
    return script.path if isinstance(script, PathScript) else f"{SCRIPT_DIRECTORY}/{SCRIPT_FILE}"


def job_manifest(submission: Submission, job_id: str, target: Target) -> dict[str, Any]:
    """The batch/v1 Job that runs `flink run` once.

    One attempt only: `backoffLimit: 0`, `restartPolicy: Never` and `podReplacementPolicy: Failed`, so
    that Kubernetes does not submit the Flink job again.
    """
    name = kubernetes_job_name(submission.template_id, job_id)
    pod = own_pod(submission, job_id, target)
    limit = _limit_seconds(submission, target)
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": pod if target.pod_template is None else merged_pod(target.pod_template, pod),
    }
    if limit:
        spec["activeDeadlineSeconds"] = limit + DEADLINE_MARGIN_SECONDS
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": target.namespace, **_metadata(job_id, submission.labels)},
        "spec": spec,
    }


def own_pod(submission: Submission, job_id: str, target: Target) -> dict[str, Any]:
    """The Job's pod without a template: `metadata` and `spec`."""
    metadata = _metadata(job_id, submission.labels)
    return {
        "metadata": metadata if target.allow_injection else _without_injection(metadata),
        "spec": _pod_spec(submission, job_id, target, _limit_seconds(submission, target)),
    }


def _limit_seconds(submission: Submission, target: Target) -> int:
    return 0 if submission.attached else target.timeout_seconds


def config_map_manifest(
    script: InlineScript, job_id: str, *, namespace: str, job_name: str, job_uid: str
) -> dict[str, Any]:
    """The immutable ConfigMap with an inline script, owned by its Job: it goes when the Job goes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "immutable": True,
        "metadata": {
            "name": job_name,
            "namespace": namespace,
            **_metadata(job_id, {}),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": job_uid}],
        },
        "data": {SCRIPT_FILE: script.text},
    }


def _metadata(job_id: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """What sync and cleanup find the object by, over the job's own labels."""
    return {
        "labels": {**labels, APP_LABEL: APP, JOB_ID_LABEL: label_safe(job_id)},
        "annotations": {JOB_ID_ANNOTATION: job_id},
    }


def _without_injection(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "labels": {**metadata["labels"], **NO_INJECTION_LABELS},
        "annotations": {**metadata["annotations"], **NO_INJECTION_ANNOTATIONS},
    }


def _escaped(arguments: Sequence[str]) -> list[str]:
    """The arguments, written so that Kubernetes hands over exactly them, but for those that it expands.

    In a command it replaces `$(NAME)`, and makes one dollar sign of two. It reads what follows a single
    dollar sign as one byte, so that a character beyond ASCII would not survive there.
    """
    in_need = re.compile(r"\${2,}|\$(?=[(\x80-\U0010ffff])")
    return [
        str(argument) if isinstance(argument, _Expanded) else in_need.sub(lambda run: run[0] * 2, argument)
        for argument in arguments
    ]


def _quantities(resources: Resources) -> dict[str, str]:
    return {"cpu": resources.cpu, "memory": resources.memory}


def _pod_spec(submission: Submission, job_id: str, target: Target, limit_seconds: int) -> dict[str, Any]:
    """The pod, within the *restricted* Pod Security Standard.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    volumes, mounts = _volumes(submission, job_id)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": FLINK_USER,
            "runAsGroup": FLINK_USER,
            "fsGroup": FLINK_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            _container(
                SUBMIT_CONTAINER,
                (
                    *("/bin/bash", "-c", SUBMITTER, "flinkjobs-submit"),
                    *(str(limit_seconds), TERMINATION_MESSAGE_PATH),
                    *flink_command(submission, job_id, target),
                ),
                submission,
                target,
                [{**mount, "readOnly": True} for mount in mounts],
            )
        ],
        "volumes": volumes,
    }
    if isinstance(submission.script, UrlScript):
        path = f"{SCRIPT_DIRECTORY}/{SCRIPT_FILE}"
        command = (
            "python3",
            "-c",
            target.fetch_program,
            submission.script.url,
            path,
            USER_AGENT,
            *sorted(target.script_hosts),
        )
        spec["initContainers"] = [_container(FETCH_CONTAINER, command, submission, target, mounts)]
    if target.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in target.image_pull_secrets]
    if target.service_account is not None:
        spec["serviceAccountName"] = target.service_account
    return spec


def _container(
    name: str,
    command: Sequence[str],
    submission: Submission,
    target: Target,
    mounts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    return {
        "name": name,
        "image": target.image,
        "command": _escaped(command),
        "env": [{"name": "LC_ALL", "value": LOCALE}],
        "terminationMessagePath": TERMINATION_MESSAGE_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": _quantities(submission.resources),
            "limits": _quantities(submission.resources),
        },
        "securityContext": dict(SECURITY_FLOOR),
        "volumeMounts": list(mounts),
    }


def _volumes(submission: Submission, job_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The volume that holds the script, and where it is mounted; none for a script of the image."""
    if isinstance(submission.script, InlineScript):
        name = kubernetes_job_name(submission.template_id, job_id)
        volume = {"name": SCRIPT_VOLUME, "configMap": {"name": name, "defaultMode": 0o444}}
    elif isinstance(submission.script, UrlScript):
        volume = {"name": SCRIPT_VOLUME, "emptyDir": {"sizeLimit": "32Mi"}}
    else:
        return [], []
    return [volume], [{"name": SCRIPT_VOLUME, "mountPath": SCRIPT_DIRECTORY}]
