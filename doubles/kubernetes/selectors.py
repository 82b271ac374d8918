"""Label and field selectors: their grammar and what they match.

Sources: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from doubles.kubernetes.errors import bad_request
from doubles.kubernetes.objects import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS, Obj, Resource

_WORD = r"[^\s,()=!<>]+"
_ABSENT = re.compile(rf"!\s*({_WORD})")
_PRESENT = re.compile(rf"({_WORD})")
_SET = re.compile(rf"({_WORD})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_WORD})\s*(==|=|!=)\s*({_WORD})?")
_ORDER = re.compile(rf"({_WORD})\s*([<>])\s*(-?\d+)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}")
_LABEL_VALUE = re.compile(rf"({_NAME})?")
_FIELD = re.compile(r"\s*([^=!]+?)\s*(==|!=|=)\s*(.*?)\s*")

FIELDS: dict[Resource, frozenset[str]] = {
    resource: frozenset({"metadata.name", "metadata.namespace", *more})
    for resource, more in (
        (JOBS, ("status.successful",)),
        (
            PODS,
            (
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "status.phase",
                "status.podIP",
            ),
        ),
        (CONFIG_MAPS, ()),
        (
            EVENTS,
            (
                "involvedObject.apiVersion",
                "involvedObject.fieldPath",
                "involvedObject.kind",
                "involvedObject.name",
                "involvedObject.namespace",
                "involvedObject.resourceVersion",
                "involvedObject.uid",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ),
        ),
        (NAMESPACES, ("status.phase",)),
    )
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str
    """`in`, `notin`, `exists`, `absent`, `<` or `>`; the forms with `=` become `in` and `notin`."""
    values: frozenset[str] = frozenset()

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether the labels satisfy the term. A missing key satisfies `notin` and `!=`."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        return _in_order(value, self.operator, next(iter(self.values)))


@dataclass(frozen=True, slots=True)
class Selector:
    """What a list, a watch or a collection's deletion is limited to."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, bool, str], ...] = ()
    """Path, whether it must be equal, value."""

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    @property
    def name(self) -> str | None:
        """The only name that can match, when the selector says so."""
        for path, equal, value in self.fields:
            if equal and path == "metadata.name":
                return value
        return None

    def matches(self, obj: Obj) -> bool:
        """Whether the object is selected."""
        if self.labels:
            labels = obj["metadata"].get("labels") or {}
            if not all(requirement.matches(labels) for requirement in self.labels):
                return False
        return all((field_of(obj, path) == value) is equal for path, equal, value in self.fields)


def parse_selector(resource: Resource, labels: str, fields: str) -> Selector:
    """Both selectors of a query string.

    Raises:
        ApiError: 400, as the server words it.
    """
    return Selector(parse_labels(labels), parse_fields(resource, fields))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The terms of a label selector; none for an empty text."""
    if not text.strip():
        return ()
    return tuple(_parse_requirement(term.strip()) for term in _COMMA_OUTSIDE_PARENTHESES.split(text))


def parse_fields(resource: Resource, text: str) -> tuple[tuple[str, bool, str], ...]:
    """The terms of a field selector: path, whether equal, value."""
    terms = []
    for term in filter(None, text.split(",")):
        match = _FIELD.fullmatch(term)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = match.groups()
        if path not in FIELDS[resource]:
            raise bad_request(_unknown_field(resource, path))
        terms.append((path, operator != "!=", value))
    return tuple(terms)


def _unknown_field(resource: Resource, path: str) -> str:
    """The API server words this kind by kind."""
    if resource is JOBS:
        return f'field label "{path}" not supported for Job'
    if resource is CONFIG_MAPS:
        return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    return f"field label not supported: {path}"


def field_of(obj: Obj, path: str) -> str:
    """The value a field selector compares; empty when the object has none."""
    if path == "status.successful":
        path = "status.succeeded"
    if path == "source":
        path = "source.component" if obj.get("source") else "reportingComponent"
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return "0" if path == "status.succeeded" else ""
    return str(value)


def _parse_requirement(term: str) -> Requirement:
    forms: tuple[tuple[re.Pattern[str], Callable[..., Requirement]], ...] = (
        (_ABSENT, lambda key: Requirement(key, "absent")),
        (_SET, lambda key, operator, values: Requirement(key, operator, _split(values))),
        (
            _EQUALITY,
            lambda key, operator, value: Requirement(
                key, "notin" if operator == "!=" else "in", frozenset({value or ""})
            ),
        ),
        (_ORDER, lambda key, operator, value: Requirement(key, operator, frozenset({value}))),
        (_PRESENT, lambda key: Requirement(key, "exists")),
    )
    for pattern, build in forms:
        if match := pattern.fullmatch(term):
            requirement = build(*match.groups())
            _check(term, requirement)
            return requirement
    raise bad_request(f"unable to parse requirement: found '{term}', expected: a valid requirement")


def _check(term: str, requirement: Requirement) -> None:
    if not _LABEL_KEY.fullmatch(requirement.key):
        raise bad_request(f'unable to parse requirement: key: Invalid value: "{requirement.key}"')
    if requirement.operator in ("in", "notin") and not requirement.values:
        raise bad_request(f"unable to parse requirement: '{term}': values set can't be empty")
    for value in requirement.values:
        if not _LABEL_VALUE.fullmatch(value) and requirement.operator in ("in", "notin"):
            raise bad_request(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}"'
            )


def _split(values: str) -> frozenset[str]:
    return frozenset(value.strip() for value in values.split(",")) if values.strip() else frozenset()


def _in_order(value: str | None, operator: str, bound: str) -> bool:
    if value is None or not re.fullmatch(r"-?\d+", value):
        return False
    return int(value) < int(bound) if operator == "<" else int(value) > int(bound)
