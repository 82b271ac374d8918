"""A checked submission, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

SCRIPT_DIRECTORY: Final = "/opt/flinkjobs"
"""Where a script that the image does not hold is mounted."""

SCRIPT_VOLUME: Final = "script"
"""Name of the volume that holds it."""

FETCH_CONTAINER: Final = "fetch"
"""Name of the init container that fetches a script."""

TERMINATION_MESSAGE_PATH: Final = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class PathScript:
    """A script that the image holds."""

    path: str


@dataclass(frozen=True, slots=True)
class InlineScript:
    """A script sent along; it travels in a ConfigMap."""

    text: str


@dataclass(frozen=True, slots=True)
class UrlScript:
    """A script that an init container fetches over https from an allowed host."""

    url: str


Script: TypeAlias = PathScript | InlineScript | UrlScript


@dataclass(frozen=True, slots=True)
class Resources:
    """Kubernetes quantities of the submitter's container."""

    cpu: str = "500m"
    memory: str = "1Gi"


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted request to run a Flink Python job, every default filled in.

    Attributes:
        script: None when `entry_module` of `py_files` is run instead.
        attached: `flink run` without `-d`: it waits for the job, and the submitter has no time limit.
        exactly_once: fix Flink's own job id, so that Flink refuses a second run.
        cluster_conf: options of Flink that the settings give its cluster, under `flink_conf`.
        allow_non_restored_state: start although the script has no operator for some state of the savepoint.
        submitted_by_verified: whether the sign-in proxy before the page named `submitted_by`.
        labels: of the record, the Job and its pod.
        run_of, attempt: see `flinkjobs.domain.records.JobRecord`.
    """

    template_id: str
    script: Script | None
    job_name: str | None = None
    entry_module: str | None = None
    args: tuple[str, ...] = ()
    parallelism: int | None = None
    py_files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()
    flink_conf: Mapping[str, str] = field(default_factory=dict)
    cluster_conf: Mapping[str, str] = field(default_factory=dict)
    savepoint_path: str | None = None
    allow_non_restored_state: bool = False
    cluster: str = "default"
    attached: bool = False
    exactly_once: bool = False
    resources: Resources = field(default_factory=Resources)
    submitted_by: str | None = None
    submitted_by_verified: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    run_of: str | None = None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a submission runs.

    Attributes:
        flink_bin: path of `flink` inside the image.
        jobmanager: `host:port` or URL for `flink run -m`.
        timeout_seconds: how long a detached submitter may take.
        script_hosts: hosts that a script may be fetched from.
        fetch_program: source of the program that fetches it: `flinkjobs.submit.script_download`.
        image_pull_secrets: names of Secrets for the image's registry.
        service_account: of the pod; None leaves it to the namespace.
        allow_injection: whether injectors may add containers to the pod.
        pod_template: merged under the pod, see `flinkjobs.submit.pod_template`; may hold secrets.
    """

    namespace: str
    image: str
    flink_bin: str
    jobmanager: str
    timeout_seconds: int
    script_hosts: frozenset[str] = frozenset()
    fetch_program: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    service_account: str | None = None
    allow_injection: bool = False
    pod_template: Mapping[str, Any] | None = field(default=None, repr=False)
