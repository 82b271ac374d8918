"""The Kubernetes permissions that each function needs."""

from __future__ import annotations

from typing import Final

import msgspec


class Permission(msgspec.Struct, frozen=True):
    """One thing that a Role has to allow.

    Attributes:
        group: API group; "" is the core.
        resource: plural, with its subresource: `jobs`, `pods/log`.
        needed_by: the functions that need it.
    """

    verb: str
    group: str
    resource: str
    needed_by: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


class AccessReview(msgspec.Struct, frozen=True):
    """What the API server says of one permission of ours."""

    permission: Permission
    allowed: bool


PERMISSIONS: Final = (
    Permission("create", "batch", "jobs", "submit"),
    Permission("get", "batch", "jobs", "submit, sync, cleanup, jobs"),
    Permission("list", "batch", "jobs", "submit, sync, cleanup"),
    Permission("delete", "batch", "jobs", "submit, sync, cleanup"),
    Permission("create", "", "configmaps", "submit"),
    Permission("list", "", "configmaps", "cleanup"),
    Permission("delete", "", "configmaps", "cleanup"),
    Permission("list", "", "pods", "sync, cleanup, jobs"),
    Permission("delete", "", "pods", "cleanup"),
    Permission("get", "", "pods/log", "sync, cleanup, jobs"),
    Permission("list", "", "events", "sync"),
)
"""All that is asked of Kubernetes, in the one namespace. `deploy/kubernetes/rbac.yaml` grants just this."""
