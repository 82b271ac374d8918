"""What a client asks to learn which API it talks to."""

from doubles.kubernetes.objects import EVICTIONS, PODS, RESOURCES, Obj, Resource

VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+local",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "local",
}
_REVIEWS: Obj = {
    "authorization.k8s.io": {
        "name": "selfsubjectaccessreviews",
        "singularName": "selfsubjectaccessreview",
        "namespaced": False,
        "kind": "SelfSubjectAccessReview",
        "verbs": ["create"],
    },
    "authentication.k8s.io": {
        "name": "selfsubjectreviews",
        "singularName": "selfsubjectreview",
        "namespaced": False,
        "kind": "SelfSubjectReview",
        "verbs": ["create"],
    },
}
"""By API group: what a client may ask about itself."""


def document(path: str) -> Obj | None:
    """The discovery document at this path, or None."""
    return _documents().get(path.rstrip("/"))


def _documents() -> dict[str, Obj]:
    groups = [_group("batch"), *map(_group, _REVIEWS)]
    reviews = {}
    for group, resource in _REVIEWS.items():
        reviews[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        reviews[f"/apis/{group}/v1"] = _resource_list(f"{group}/v1", [resource])
    core = [resource for resource in RESOURCES if not resource.group]
    batch = [resource for resource in RESOURCES if resource.group == "batch"]
    log = {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]}
    eviction = {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": EVICTIONS.group,
        "version": EVICTIONS.version,
        "kind": EVICTIONS.kind,
        "verbs": list(EVICTIONS.verbs),
    }
    return {
        "/version": VERSION,
        "/api": {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
        },
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/apis/batch": {"kind": "APIGroup", "apiVersion": "v1", **groups[0]},
        "/api/v1": _resource_list("v1", [*map(_resource, core), log, eviction, _status(PODS)]),
        "/apis/batch/v1": _resource_list("batch/v1", [*map(_resource, batch), *map(_status, batch)]),
        **reviews,
        "/openapi/v3": {
            "paths": {
                path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in ("api/v1", "apis/batch/v1")
            }
        },
        "/openapi/v3/api/v1": _openapi("/api/v1", core),
        "/openapi/v3/apis/batch/v1": _openapi("/apis/batch/v1", batch),
    }


def _group(name: str) -> Obj:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource_list(version: str, resources: list[Obj]) -> Obj:
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _resource(resource: Resource) -> Obj:
    return {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
        "categories": ["all"] if resource.kind in ("Job", "Pod") else [],
    }


def _status(resource: Resource) -> Obj:
    return {
        "name": f"{resource.plural}/status",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get", "patch", "update"],
    }


def _openapi(root: str, resources: list[Resource]) -> Obj:
    """As much as kubectl reads: that these kinds know the query parameter `fieldValidation`."""
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for resource in resources:
        where = "/namespaces/{namespace}" if resource.namespaced else ""
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        paths[f"{root}{where}/{resource.plural}/{{name}}"] = {
            "patch": {
                "parameters": [parameter],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-group-version-kind": kind,
            }
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
    }
