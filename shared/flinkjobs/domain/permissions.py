"""The functions, and the Kubernetes permissions that each uses."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec


class Function(StrEnum):
    """A function, by the name of its folder."""

    SUBMIT = "submit"
    SYNC = "sync"
    CLEANUP = "cleanup"
    JOBS = "jobs"


class Permission(msgspec.Struct, frozen=True):
    """One thing that a Role has to allow.

    Attributes:
        group: API group; "" is the core.
        resource: plural, with its subresource: `jobs`, `pods/log`.
        used_by: the functions that use it.
    """

    verb: str
    group: str
    resource: str
    used_by: tuple[Function, ...]

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


class AccessReview(msgspec.Struct, frozen=True):
    """What the API server says of one permission of ours, in one namespace."""

    permission: Permission
    allowed: bool
    namespace: str = ""


PERMISSIONS: Final = (
    Permission("create", "batch", "jobs", (Function.SUBMIT,)),
    Permission("get", "batch", "jobs", (Function.SUBMIT, Function.SYNC, Function.CLEANUP, Function.JOBS)),
    Permission("list", "batch", "jobs", (Function.SUBMIT, Function.SYNC, Function.CLEANUP)),
    Permission("delete", "batch", "jobs", (Function.SUBMIT, Function.SYNC, Function.CLEANUP)),
    Permission("create", "", "configmaps", (Function.SUBMIT,)),
    Permission("list", "", "configmaps", (Function.CLEANUP,)),
    Permission("delete", "", "configmaps", (Function.CLEANUP,)),
    Permission("list", "", "pods", (Function.SYNC, Function.CLEANUP, Function.JOBS)),
    Permission("delete", "", "pods", (Function.CLEANUP,)),
    Permission("get", "", "pods/log", (Function.SYNC, Function.CLEANUP, Function.JOBS)),
    Permission("list", "", "events", (Function.SYNC,)),
)
"""All that is asked of Kubernetes, in each namespace of the settings. The Roles of
`deploy/kubernetes/rbac.yaml`, which Terraform reads too, grant each function just this."""

_DEPLOYED: Final = re.compile(rf"(?:system:serviceaccount:[^:]+:)?flinkjobs-({'|'.join(Function)})(?:@.+)?")
"""User name of a deployed function: its ServiceAccount, or the address of its Google service account."""


def permissions_of(function: Function | None) -> tuple[Permission, ...]:
    """What a function uses; what all of them use where none is given."""
    return tuple(each for each in PERMISSIONS if function is None or function in each.used_by)


def deployed_function(user: str) -> Function | None:
    """The function that is deployed with this identity; None if none is."""
    found = _DEPLOYED.fullmatch(user)
    return Function(found[1]) if found else None
