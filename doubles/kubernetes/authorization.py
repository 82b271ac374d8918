"""Who a token belongs to and what they may do."""

from dataclasses import dataclass, field
from typing import Protocol

import msgspec

ADMIN = "admin"
ANONYMOUS = "system:anonymous"


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One rule of an RBAC Role: https://kubernetes.io/docs/reference/access-authn-authz/rbac/."""

    api_groups: tuple[str, ...]
    resources: tuple[str, ...]
    """`pods`, or `pods/log` for a subresource; `*` for all."""
    verbs: tuple[str, ...]
    resource_names: tuple[str, ...] = ()

    def allows(self, attributes: "Attributes") -> bool:
        """Whether the rule grants the request."""
        resource = attributes.resource
        if attributes.subresource:
            resource += f"/{attributes.subresource}"
        return (
            _covers(self.verbs, attributes.verb)
            and _covers(self.api_groups, attributes.group)
            and _covers(self.resources, resource)
            and (not self.resource_names or attributes.name in self.resource_names)
        )


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is to be decided about."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Authorizer(Protocol):
    """Decides whether a user may make a request."""

    def allows(self, attributes: Attributes) -> bool:
        """True when it may be done."""


@dataclass(slots=True)
class RoleAuthorizer:
    """The admin may do everything; other users what their Role grants, in the Role's namespaces."""

    roles: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    """By user."""
    namespaces: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Those that the user's Role stands in, by user."""

    def allows(self, attributes: Attributes) -> bool:
        """Whether the user is the admin, or one of its rules grants it."""
        if attributes.user == ADMIN:
            return True
        if attributes.resource == "selfsubjectaccessreviews":
            return attributes.user != ANONYMOUS
        if attributes.namespace not in self.namespaces.get(attributes.user, ()):
            return False
        return any(rule.allows(attributes) for rule in self.roles.get(attributes.user, ()))


def _covers(granted: tuple[str, ...], wanted: str) -> bool:
    return wanted in granted or "*" in granted
