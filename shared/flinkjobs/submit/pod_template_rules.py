"""What a pod template may hold, so that every pod of it keeps the record true. Pure.

The models list every member that a template may have. Imported only where a template is set.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from flinkjobs.domain.errors import Fault, json_pointer
from flinkjobs.domain.naming import SUBMIT_CONTAINER
from flinkjobs.submit.pod_template import MERGED_BY, Location, conflicts, floor_of
from flinkjobs.submit.submission import (
    FETCH_CONTAINER,
    SCRIPT_DIRECTORY,
    SCRIPT_VOLUME,
    TERMINATION_MESSAGE_PATH,
)

RESERVED_NAMES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "containers": frozenset({FETCH_CONTAINER}),
        "initContainers": frozenset({FETCH_CONTAINER, SUBMIT_CONTAINER}),
        "volumes": frozenset({SCRIPT_VOLUME}),
    }
)
"""Names that flinkjobs gives itself."""

SHELL_VARIABLES: Final = frozenset({"BASH_ENV", "BASHOPTS", "POSIXLY_CORRECT", "SHELLOPTS"})
"""Variables by which bash works otherwise than the submitter's program expects:
https://www.gnu.org/software/bash/manual/html_node/Bash-Variables.html"""

OUR_PATHS: Final = (PurePosixPath(SCRIPT_DIRECTORY), PurePosixPath(TERMINATION_MESSAGE_PATH))

WHY_REFUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "activeDeadlineSeconds": "is not for a template: SUBMIT_TIMEOUT_SECONDS bounds the submitter, and a "
        "deadline of the pod deletes its output",
        "allowPrivilegeEscalation": "must be false: it is part of the security floor",
        "args": "is not for a template: flinkjobs sets the program that runs flink",
        "automountServiceAccountToken": "must be false: the submitter gets no token of the Kubernetes API",
        "capabilities": "can only drop ALL: it is part of the security floor",
        "command": "is not for a template: flinkjobs sets the program that runs flink",
        "drop": "must be [ALL]: it is part of the security floor",
        "enableServiceLinks": "must be false: its variables are named like those of Flink",
        "hostIPC": "must be false: it is part of the security floor",
        "hostNetwork": "must be false: it is part of the security floor",
        "hostPath": "is not for a template: the security floor has no volumes of the node",
        "hostPID": "must be false: it is part of the security floor",
        "hostPort": "is not for a template: the security floor has no ports of the node",
        "image": "is not for a template: FLINK_IMAGE names the image that runs flink",
        "lifecycle": "is not for a template: a hook that fails ends the container that runs flink",
        "livenessProbe": "is not for a template: it would kill the container that runs flink",
        "nodeName": "is not for a template: it passes by the scheduler, which names the cause of a pod that "
        "waits; use nodeSelector or affinity",
        "privileged": "must be false: it is part of the security floor",
        "procMount": "must be Default: it is part of the security floor",
        "restartPolicy": "must be Never for the pod, and Always for a sidecar among the init containers: a "
        "container that starts again submits the job twice",
        "runAsNonRoot": "must be true: it is part of the security floor",
        "runAsUser": "is set by flinkjobs for the pod: a container may name another user than root",
        "serviceAccountName": "is set by K8S_SERVICE_ACCOUNT: set only one of them",
        "startupProbe": "is not for a template: it would kill the container that runs flink",
        "terminationMessagePath": "is not for a template: the Flink Job IDs come back there",
        "terminationMessagePolicy": "is not for a template: the Flink Job IDs come back there",
        "tty": "is not for a template: a terminal changes the output in which the Flink Job IDs are found",
    }
)
"""Why a member may not be what a template says, by its name."""


# --- what a template may hold -----------------------------------------------------------------------


def _apart_from_ours(mount_path: str) -> str:
    path = PurePosixPath(mount_path)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("must be an absolute path without ..")
    for ours in OUR_PATHS:
        if path.is_relative_to(ours) or ours.is_relative_to(path):
            raise ValueError(f"would hide {ours}, which flinkjobs mounts")
    return mount_path


def _leaves_bash_alone(name: str) -> str:
    if name in SHELL_VARIABLES:
        raise ValueError("changes how the submitter's shell works")
    return name


def _without_host(handler: dict[str, Any]) -> dict[str, Any]:
    for value in handler.values():
        if isinstance(value, dict):
            if value.get("host"):
                raise ValueError("may not name a host: it is part of the security floor")
            _without_host(value)
    return handler


_Map = dict[str, Any]
_Texts = dict[str, str]
_Name = Annotated[str, StringConstraints(min_length=1)]
_Handler = Annotated[_Map, AfterValidator(_without_host)]


class _Part(BaseModel):
    """A part of the template; a member that is not listed is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class _Metadata(_Part):
    labels: _Texts = {}
    annotations: _Texts = {}


class _Profile(_Part):
    type: Literal["RuntimeDefault", "Localhost"]
    localhost_profile: str | None = None


class _Capabilities(_Part):
    drop: list[str] = []


class _ContainerSecurity(_Part):
    allow_privilege_escalation: bool | None = None
    app_armor_profile: _Profile | None = None
    capabilities: _Capabilities | None = None
    privileged: Literal[False] | None = None
    proc_mount: Literal["Default"] | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: Annotated[int, Field(ge=0)] | None = None
    run_as_non_root: Literal[True] | None = None
    run_as_user: Annotated[int, Field(ge=1)] | None = None
    seccomp_profile: _Profile | None = None


class _PodSecurity(_Part):
    app_armor_profile: _Profile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    seccomp_profile: _Profile | None = None
    supplemental_groups: list[int] = []
    supplemental_groups_policy: str | None = None


class _Variable(_Part):
    name: _Name
    value: str | None = None
    value_from: _Map | None = None


class _SubmitVariable(_Variable):
    name: Annotated[_Name, AfterValidator(_leaves_bash_alone)]


class _Mount(_Part):
    name: _Name
    mount_path: str
    mount_propagation: str | None = None
    read_only: bool | None = None
    recursive_read_only: str | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None


class _SubmitMount(_Mount):
    mount_path: Annotated[str, AfterValidator(_apart_from_ours)]


class _Resources(_Part):
    claims: list[_Map] = []
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}


class _Port(_Part):
    container_port: int
    name: str | None = None
    protocol: str | None = None


class _Container(_Part):
    name: _Name
    env_from: list[_Map] = []
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    resources: _Resources | None = None
    security_context: _ContainerSecurity | None = None
    working_dir: str | None = None


class _Submit(_Container):
    """The container that runs flink."""

    env: list[_SubmitVariable] = []
    volume_mounts: list[_SubmitMount] = []


class _Sidecar(_Container):
    args: list[str] = []
    command: list[str] = []
    env: list[_Variable] = []
    image: _Name
    lifecycle: _Handler | None = None
    liveness_probe: _Handler | None = None
    ports: list[_Port] = []
    readiness_probe: _Handler | None = None
    startup_probe: _Handler | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    volume_mounts: list[_Mount] = []


class _InitContainer(_Sidecar):
    restart_policy: Literal["Always"] | None = None


class _Volume(_Part):
    """Of the types that the *restricted* Pod Security Standard allows."""

    name: _Name
    config_map: _Map | None = None
    csi: _Map | None = None
    downward_api: Annotated[_Map | None, Field(alias="downwardAPI")] = None
    empty_dir: _Map | None = None
    ephemeral: _Map | None = None
    persistent_volume_claim: _Map | None = None
    projected: _Map | None = None
    secret: _Map | None = None


class _Named(_Part):
    name: _Name


_KIND_OF_CONTAINER: Final = ("<submit>", "<sidecar>")


def _kind_of_container(value: Any) -> str:
    is_submit = isinstance(value, dict) and value.get("name") == SUBMIT_CONTAINER
    return _KIND_OF_CONTAINER[0 if is_submit else 1]


class _Spec(_Part):
    affinity: _Map | None = None
    automount_service_account_token: Literal[False] | None = None
    containers: list[
        Annotated[
            Annotated[_Submit, Tag(_KIND_OF_CONTAINER[0])] | Annotated[_Sidecar, Tag(_KIND_OF_CONTAINER[1])],
            Discriminator(_kind_of_container),
        ]
    ] = []
    dns_config: _Map | None = None
    dns_policy: str | None = None
    enable_service_links: Literal[False] | None = None
    host_aliases: list[_Map] = []
    host_ipc: Annotated[Literal[False] | None, Field(alias="hostIPC")] = None
    host_network: Literal[False] | None = None
    host_pid: Annotated[Literal[False] | None, Field(alias="hostPID")] = None
    image_pull_secrets: list[_Named] = []
    init_containers: list[_InitContainer] = []
    node_selector: _Texts = {}
    preemption_policy: str | None = None
    priority_class_name: str | None = None
    restart_policy: Literal["Never"] | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    security_context: _PodSecurity | None = None
    service_account_name: str | None = None
    termination_grace_period_seconds: Annotated[int, Field(ge=0)] | None = None
    tolerations: list[_Map] = []
    topology_spread_constraints: list[_Map] = []
    volumes: list[_Volume] = []


class _Template(_Part):
    api_version: Literal["v1"] | None = None
    kind: Literal["Pod"] | None = None
    metadata: _Metadata | None = None
    spec: _Spec | None = None


# --- the check --------------------------------------------------------------------------------------


def template_faults(template: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[Fault, ...]:
    """What is wrong with a template: none where every pod of it keeps the record true.

    A fault never quotes a value of the template, which may be a secret.

    Args:
        template: as the settings hold it.
        ours: our own pod of some submission, to find what the template would change of it.
    """
    try:
        _Template.model_validate(dict(template))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return tuple(dict.fromkeys(_fault(each["loc"], each["type"], each["msg"]) for each in found))
    lists = list(_merged_lists(template.get("spec") or {}))
    if faults := [*_taken_names(lists), *_unknown_volumes(lists)]:
        return tuple(faults)
    changed = dict.fromkeys([*conflicts(template, ours), *conflicts(template, floor_of(template))])
    return tuple(Fault(json_pointer(location), _why(location)) for location in changed)


def _fault(location: Location, kind: str, message: str) -> Fault:
    location = tuple(part for part in location if part not in {*_KIND_OF_CONTAINER, "[key]"})
    if kind in ("extra_forbidden", "literal_error"):
        default = "is not a member that a pod template may have" if kind == "extra_forbidden" else message
        return Fault(json_pointer(location), WHY_REFUSED.get(str(location[-1]), default))
    if kind == "missing" and location[-1] == "image":
        return Fault(
            json_pointer(location), f"is missing: only the container {SUBMIT_CONTAINER} runs FLINK_IMAGE"
        )
    return Fault(json_pointer(location), message.removeprefix("Value error, "))


def _why(location: Location) -> str:
    """Why our value at this place may not be another one."""
    if location[-2:-1] in (("requests",), ("limits",)):
        return "comes from the field resources of each submission"
    return WHY_REFUSED.get(str(location[-1]), "has another value that flinkjobs sets")


def _merged_lists(spec: Mapping[str, Any]) -> Iterator[tuple[Location, Sequence[Mapping[str, Any]]]]:
    """The lists that are merged, those of the containers too, each with its place."""
    for name in [name for name in spec if name in MERGED_BY]:
        yield ("spec", name), spec[name]
        for index, entry in enumerate(spec[name]):
            for inner in [inner for inner in entry if inner in MERGED_BY]:
                yield ("spec", name, index, inner), entry[inner]


def _taken_names(lists: Iterable[tuple[Location, Sequence[Mapping[str, Any]]]]) -> Iterator[Fault]:
    """Entries whose key an earlier one has, or flinkjobs uses; containers of both lists share their names."""
    seen: dict[Location, set[str]] = {}
    for location, entries in lists:
        key = MERGED_BY[str(location[-1])]
        is_containers = location[-1] in ("containers", "initContainers")
        taken = seen.setdefault(("containers",) if is_containers else location, set())
        reserved = RESERVED_NAMES.get(str(location[-1]), frozenset())
        for index, entry in enumerate(entries):
            if entry[key] in reserved:
                yield Fault(json_pointer((*location, index, key)), "is a name that flinkjobs uses itself")
            elif entry[key] in taken:
                yield Fault(json_pointer((*location, index, key)), "is there twice")
            taken.add(entry[key])


def _unknown_volumes(lists: Iterable[tuple[Location, Sequence[Mapping[str, Any]]]]) -> Iterator[Fault]:
    volumes = {entry["name"] for location, entries in lists if location[-1] == "volumes" for entry in entries}
    for location, entries in lists:
        for index, entry in enumerate(entries if location[-1] == "volumeMounts" else ()):
            if entry["name"] not in volumes:
                yield Fault(json_pointer((*location, index, "name")), "names no volume of the template")
