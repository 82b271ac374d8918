"""Validates objects with the API server's wording, and fills in its defaults.

Each validating function returns the causes it found, none for a valid object; `api` joins them into one 422.
Features of Jobs that the double does not implement are refused, not ignored.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from doubles.kubernetes.errors import Cause
from doubles.kubernetes.objects import CONFIG_MAPS, JOBS, PODS, Obj, Resource, clone

MAX_LABEL_LENGTH = 63
MAX_NAME_LENGTH = 253
MAX_ANNOTATIONS_BYTES = 256 * 1024
MAX_CONFIG_MAP_BYTES = 1024 * 1024

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_QUANTITY = r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?"
_SCALES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("num", -3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    f"start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    f"'{_LABEL}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    f"for validation is '{_LABEL_VALUE}')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}')"
)
_JOB_COUNTS = (
    "parallelism",
    "completions",
    "backoffLimit",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
)
_UNPLAYED = (
    "podFailurePolicy",
    "successPolicy",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "managedBy",
    "scheduling",
)


# --- defaults ---------------------------------------------------------------------------------------------


def apply_defaults(resource: Resource, obj: Obj) -> None:
    """Fill in what the server fills in before it validates; changes the object."""
    if resource is JOBS:
        _default_job(obj)
    elif resource is PODS:
        _default_pod_spec(obj.setdefault("spec", {}))


def label_pods_of_job(job: Obj) -> None:
    """Give a new Job its selector and its pod template the labels that tie pods to it; needs name and uid."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    spec = job["spec"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels["batch.kubernetes.io/job-name"] = labels["job-name"] = name
    if not spec.get("manualSelector"):
        labels["batch.kubernetes.io/controller-uid"] = labels["controller-uid"] = uid
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _default_job(job: Obj) -> None:
    spec = job.setdefault("spec", {})
    if "parallelism" not in spec and "completions" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    template = spec.setdefault("template", {})
    _default_pod_spec(template.setdefault("spec", {}))
    if not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(template.get("metadata", {}).get("labels", {}))


def _default_pod_spec(spec: Obj) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in containers_of(spec):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        latest = ":" not in container.get("image", "").rpartition("/")[2] or container["image"].endswith(
            ":latest"
        )
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    for volume in spec.get("volumes", ()):
        if "configMap" in volume:
            volume["configMap"].setdefault("defaultMode", 0o644)


def containers_of(spec: Obj) -> list[Obj]:
    """Every container of a pod, init containers first."""
    return [*spec.get("initContainers", ()), *spec.get("containers", ())]


# --- rules ------------------------------------------------------------------------------------------------


def validate_new(resource: Resource, obj: Obj) -> list[Cause]:
    """What is wrong with an object about to be created."""
    rules: dict[Resource, Callable[[Obj], Iterator[Cause]]] = {
        JOBS: _validate_job,
        PODS: lambda pod: _validate_pod_spec(pod["spec"], "spec"),
        CONFIG_MAPS: _validate_config_map,
    }
    causes = list(_validate_metadata(obj["metadata"]))
    if resource in rules:
        causes += rules[resource](obj)
    return causes


def validate_change(resource: Resource, old: Obj, new: Obj) -> list[Cause]:
    """What is wrong with a change: the new state's own faults, and fields that may not change."""
    causes = list(_validate_metadata(new["metadata"]))
    if resource is JOBS:
        for name in ("template", "selector", "completionMode", "completions", "podReplacementPolicy"):
            before, after = old["spec"].get(name), new["spec"].get(name)
            if before != after and not (name == "template" and _template_is_open(old, new)):
                causes.append(_invalid(f"spec.{name}", after, "field is immutable"))
        causes += _validate_counts(new["spec"])
        if old["spec"]["template"] != new["spec"]["template"] and not causes:
            causes += _validate_pod_spec(new["spec"]["template"]["spec"], "spec.template.spec")
    if resource is PODS and old["spec"] != new["spec"]:
        problem = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        causes.append(Cause("spec", problem))
    if resource is CONFIG_MAPS:
        causes += _validate_config_map(new)
        if old.get("immutable"):
            frozen = "Forbidden: field is immutable when `immutable` is set"
            causes += [
                Cause(name, frozen)
                for name in ("immutable", "data", "binaryData")
                if old.get(name) != new.get(name)
            ]
    return causes


def warnings_about(resource: Resource, obj: Obj) -> Iterator[str]:
    """What the server warns of in an object that it accepts: variables defined twice."""
    if resource not in (JOBS, PODS):
        return
    spec, path = obj["spec"], "spec"
    if resource is JOBS:
        spec, path = spec["template"]["spec"], "spec.template.spec"
    for group in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(group, ())):
            for position, name in _hiding_variables(container):
                where = f"{path}.{group}[{place}].env[{position}]"
                yield f'{where}: hides previous definition of "{name}", which may be dropped when using apply'


def _hiding_variables(container: Obj) -> Iterator[tuple[int, str]]:
    """Variables of a name defined before; `A=$(A)more` is not one, because it keeps the earlier value."""
    seen: set[str] = set()
    for position, variable in enumerate(container.get("env", ())):
        name, value = variable["name"], variable.get("value", "")
        reference = f"$({name})"
        extends = reference in value and value != reference and "valueFrom" not in variable
        if name in seen and not extends:
            yield position, name
        seen.add(name)


def _template_is_open(old: Obj, new: Obj) -> bool:
    """A suspended Job that never started may get other labels, annotations and resources for its pods."""
    if not old["spec"].get("suspend") or old.get("status", {}).get("startTime"):
        return False
    before, after = clone(old["spec"]["template"]), clone(new["spec"]["template"])
    for template in (before, after):
        template.pop("metadata", None)
        for container in containers_of(template["spec"]):
            container.pop("resources", None)
    return bool(before == after)


def _validate_metadata(metadata: Obj) -> Iterator[Cause]:
    name = metadata.get("name", "")
    if not name:
        yield Cause("metadata.name", "Required value: name or generateName is required")
    else:
        for problem in _name_problems(name):
            yield _invalid("metadata.name", name, problem)
    yield from _validate_labels(metadata.get("labels", {}), "metadata.labels")
    yield from _validate_annotations(metadata.get("annotations", {}))
    for position, owner in enumerate(metadata.get("ownerReferences", ())):
        for member in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(member):
                path = f"metadata.ownerReferences[{position}].{member}"
                yield Cause(path, 'Invalid value: "": must not be empty')


def _validate_annotations(annotations: dict[str, str]) -> Iterator[Cause]:
    for key in annotations:
        yield from _validate_qualified(key.lower(), "metadata.annotations")
    if (
        sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        > MAX_ANNOTATIONS_BYTES
    ):
        yield Cause("metadata.annotations", f"Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes")


def _validate_labels(labels: dict[str, str], path: str) -> Iterator[Cause]:
    for key, value in labels.items():
        yield from _validate_qualified(key, path)
        if len(value) > MAX_LABEL_LENGTH:
            yield _invalid(path, value, f"must be no more than {MAX_LABEL_LENGTH} bytes")
        if not re.fullmatch(_LABEL_VALUE, value):
            yield _invalid(path, value, _LABEL_VALUE_RULE)


def _validate_qualified(key: str, path: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if len(name) > MAX_LABEL_LENGTH:
        yield _invalid(path, key, f"name part must be no more than {MAX_LABEL_LENGTH} bytes")
    if not re.fullmatch(_QUALIFIED, name):
        yield _invalid(path, key, _QUALIFIED_RULE)
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield _invalid(path, key, f"prefix part {_SUBDOMAIN_RULE}")


def _validate_job(job: Obj) -> Iterator[Cause]:
    spec = job["spec"]
    name = job["metadata"].get("name", "")
    yield from _validate_counts(spec)
    if spec["completionMode"] != "NonIndexed":
        yield Cause(
            "spec.completionMode",
            f'Unsupported value: "{spec["completionMode"]}": supported values: "NonIndexed"',
        )
    for member in _UNPLAYED:
        if member in spec:
            yield Cause(f"spec.{member}", "Forbidden: this double does not play it")
    if spec["podReplacementPolicy"] not in ("Failed", "TerminatingOrFailed"):
        supported = 'supported values: "Failed", "TerminatingOrFailed"'
        yield Cause(
            "spec.podReplacementPolicy", f'Unsupported value: "{spec["podReplacementPolicy"]}": {supported}'
        )
    if "selector" in spec and not spec["manualSelector"]:
        yield _invalid("spec.selector", spec["selector"], "`selector` not auto-generated")
    template = spec["template"]
    labels = {"job-name": name, **template.get("metadata", {}).get("labels", {})}
    yield from _validate_labels(labels, "spec.template.labels")
    if template["spec"]["restartPolicy"] not in ("OnFailure", "Never"):
        yield Cause("spec.template.spec.restartPolicy", 'Required value: valid values: "OnFailure", "Never"')
    yield from _validate_pod_spec(template["spec"], "spec.template.spec")


def _validate_counts(spec: Obj) -> Iterator[Cause]:
    for member in _JOB_COUNTS:
        if spec.get(member, 0) < 0:
            yield _invalid(f"spec.{member}", spec[member], "must be greater than or equal to 0")


def _validate_pod_spec(spec: Obj, path: str) -> Iterator[Cause]:
    if spec["restartPolicy"] not in ("Always", "OnFailure", "Never"):
        supported = 'supported values: "Always", "OnFailure", "Never"'
        yield Cause(f"{path}.restartPolicy", f'Unsupported value: "{spec["restartPolicy"]}": {supported}')
    if spec["terminationGracePeriodSeconds"] < 0:
        value = spec["terminationGracePeriodSeconds"]
        yield _invalid(f"{path}.terminationGracePeriodSeconds", value, "must be greater than or equal to 0")
    if spec.get("activeDeadlineSeconds", 1) < 1:
        value = spec["activeDeadlineSeconds"]
        yield _invalid(f"{path}.activeDeadlineSeconds", value, "must be between 1 and 2147483647, inclusive")
    if not spec.get("containers"):
        yield Cause(f"{path}.containers", "Required value")
    volumes = [volume.get("name", "") for volume in spec.get("volumes", ())]
    yield from _validate_unique_names(volumes, f"{path}.volumes")
    for place, volume in enumerate(spec.get("volumes", ())):
        if "configMap" in volume and not volume["configMap"].get("name"):
            yield Cause(f"{path}.volumes[{place}].configMap.name", "Required value")
    names = [container.get("name", "") for container in containers_of(spec)]
    yield from _validate_unique_names(names, f"{path}.containers")
    for group in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(group, ())):
            yield from _validate_container(container, f"{path}.{group}[{place}]", volumes)


def _validate_unique_names(names: Iterable[str], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for place, name in enumerate(names):
        where = f"{path}[{place}].name"
        if not name:
            yield Cause(where, "Required value")
        elif name in seen:
            yield Cause(where, f'Duplicate value: "{name}"')
        elif not re.fullmatch(_LABEL, name):
            yield _invalid(where, name, _LABEL_RULE)
        elif len(name) > MAX_LABEL_LENGTH:
            yield _invalid(where, name, f"must be no more than {MAX_LABEL_LENGTH} bytes")
        seen.add(name)


def _validate_container(container: Obj, path: str, volumes: list[str]) -> Iterator[Cause]:
    if not container.get("image"):
        yield Cause(f"{path}.image", "Required value")
    policy = container["terminationMessagePolicy"]
    if policy not in ("File", "FallbackToLogsOnError"):
        supported = 'supported values: "FallbackToLogsOnError", "File"'
        yield Cause(f"{path}.terminationMessagePolicy", f'Unsupported value: "{policy}": {supported}')
    yield from _validate_environment(container, path)
    yield from _validate_mounts(container, path, volumes)
    yield from _validate_resources(container["resources"], f"{path}.resources")


def _validate_resources(resources: Obj, path: str) -> Iterator[Cause]:
    amounts: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
    for group, known in amounts.items():
        for name, text in resources.get(group, {}).items():
            where, amount = f"{path}.{group}[{name}]", _amount(text)
            if amount is None:
                yield _invalid(where, text, f"quantities must match the regular expression '{_QUANTITY}'")
            elif amount < 0:
                yield _invalid(where, text, "must be greater than or equal to 0")
            else:
                known[name] = amount
    limits = resources.get("limits", {})
    for name, request in amounts["requests"].items():
        text, limit = resources["requests"][name], amounts["limits"].get(name)
        if name not in limits and not _can_be_overcommitted(name):
            problem = "Required value: Limit must be set for non overcommitable resources"
            yield Cause(f"{path}.limits", problem)
        elif limit is not None and request != limit and not _can_be_overcommitted(name):
            yield _invalid(f"{path}.requests", text, f"must be equal to {name} limit of {limits[name]}")
        elif limit is not None and request > limit:
            problem = f"must be less than or equal to {name} limit of {limits[name]}"
            yield _invalid(f"{path}.requests", text, problem)


def _can_be_overcommitted(resource: str) -> bool:
    """Whether its limit may exceed its request: not for huge pages and what a device plugin offers."""
    return ("/" not in resource or "kubernetes.io/" in resource) and not resource.startswith("hugepages-")


def _amount(quantity: str) -> Decimal | None:
    """The number a quantity stands for; None if it is malformed."""
    match = re.fullmatch(_QUANTITY, quantity)
    if match is None:
        return None
    number, suffix = match[1], match[2] or ""
    scale = _SCALES.get(suffix)
    return Decimal(number + suffix) if scale is None else Decimal(number) * scale


def _validate_environment(container: Obj, path: str) -> Iterator[Cause]:
    for place, variable in enumerate(container.get("env", ())):
        if not variable.get("name"):
            yield Cause(f"{path}.env[{place}].name", "Required value")
        if variable.get("value") and variable.get("valueFrom"):
            problem = 'Invalid value: "": may not be specified when `value` is not empty'
            yield Cause(f"{path}.env[{place}].valueFrom", problem)


def _validate_mounts(container: Obj, path: str, volumes: list[str]) -> Iterator[Cause]:
    for place, mount in enumerate(container.get("volumeMounts", ())):
        if not mount.get("mountPath"):
            yield Cause(f"{path}.volumeMounts[{place}].mountPath", "Required value")
        if mount.get("name") not in volumes:
            yield Cause(f"{path}.volumeMounts[{place}].name", f'Not found: "{mount.get("name", "")}"')


def _validate_config_map(config_map: Obj) -> Iterator[Cause]:
    data, binary = config_map.get("data", {}), config_map.get("binaryData", {})
    for group, entries in (("data", data), ("binaryData", binary)):
        for key in entries:
            if not re.fullmatch(_CONFIG_KEY, key) or key in (".", "..") or len(key) > MAX_NAME_LENGTH:
                rule = (
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                    f"'{_CONFIG_KEY}')"
                )
                yield _invalid(f"{group}[{key}]", key, rule)
    size = sum(len(value.encode()) for value in data.values()) + sum(
        len(value) * 3 // 4 for value in binary.values()
    )
    if size > MAX_CONFIG_MAP_BYTES:
        yield Cause("[]", f"Too long: may not be more than {MAX_CONFIG_MAP_BYTES} bytes")


def _name_problems(name: str) -> Iterator[str]:
    if len(name) > MAX_NAME_LENGTH:
        yield f"must be no more than {MAX_NAME_LENGTH} bytes"
    if not re.fullmatch(_SUBDOMAIN, name):
        yield _SUBDOMAIN_RULE


def _invalid(path: str, value: object, problem: str) -> Cause:
    return Cause(path, f"Invalid value: {json.dumps(value, ensure_ascii=False)}: {problem}")
