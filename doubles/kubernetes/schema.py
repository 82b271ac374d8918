"""The shape of the API's objects: which fields exist and of what type.

The official Python client carries the OpenAPI types of every model; they are read here when a kind is first
met. Decoding does what the API server's does: a wrong type is an error, an unknown field is reported and
dropped, `null` is the same as absent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kubernetes.client import models

from doubles.kubernetes.errors import ApiError, bad_request
from doubles.kubernetes.objects import Obj, Resource

_QUANTITY_MAPS = frozenset({"limits", "requests"})
"""Maps whose values may be written as numbers, although the schema calls them strings."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_SCALARS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "str": ("string", _is_text),
    "bytes": ("[]byte", _is_text),  # in JSON: base64
    "datetime": ("time.Time", _is_text),
    "int": ("int32", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("float64", _is_number),
    "bool": ("bool", lambda value: isinstance(value, bool)),
}
"""The client's name of a type, Go's name of it, and what fits."""
_COLLECTION = re.compile(r"(List|Dict)\[(?:str, )?(.+)\]")


@dataclass(slots=True)
class Decoded:
    """An object as the server understood it."""

    value: Obj
    unknown: list[str]
    """Paths of the fields that do not exist in the schema."""


def decode(resource: Resource, value: object) -> Decoded:
    """Check an object against its kind's schema.

    Raises:
        ApiError: 400 for a wrong type, worded as Go's JSON decoder does.
    """
    decoder = _Decoder(resource)
    if not isinstance(value, dict):
        raise decoder.error(f"value of type {resource.version}.{resource.kind}", value)
    return Decoded(decoder.model(resource.model, value, ""), decoder.unknown)


@cache
def model_fields(kind: str) -> dict[str, str]:
    """The JSON fields of one model of the client, with their types as the client writes them."""
    model = getattr(models, kind)
    return {model.attribute_map[name]: type_name for name, type_name in model.openapi_types.items()}


@dataclass(slots=True)
class _Decoder:
    resource: Resource
    unknown: list[str] = field(default_factory=list)

    def error(self, wanted: str, got: object) -> ApiError:
        kind, version = self.resource.kind, self.resource.version
        return bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: '
            f"json: cannot unmarshal {_json_type(got)} into Go {wanted}"
        )

    def model(self, kind: str, value: Obj, path: str) -> Obj:
        """A JSON object that is one of the client's models."""
        fields = model_fields(kind)
        result: Obj = {}
        for name, member in value.items():
            where = f"{path}.{name}" if path else name
            if name not in fields:
                self.unknown.append(where)
            elif member is not None:
                result[name] = self._convert(fields[name], member, where, _go_name(kind))
        return result

    def _convert(self, kind: str, value: Any, path: str, owner: str) -> Any:
        if kind == "object":
            return value
        if scalar := _SCALARS.get(kind):
            name, fits = scalar
            if not fits(value):
                raise self.error(f"struct field {owner}.{path} of type {name}", value)
            return value
        if collection := _COLLECTION.fullmatch(kind):
            convert = self._list if collection[1] == "List" else self._map
            return convert(collection[2], value, path, owner)
        if not isinstance(value, dict):
            version = self.resource.version
            raise self.error(f"struct field {owner}.{path} of type {version}.{_go_name(kind)}", value)
        return self.model(kind, value, path)

    def _list(self, member: str, value: Any, path: str, owner: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.error(f"struct field {owner}.{path} of type []{_go_name(member)}", value)
        return [self._convert(member, item, f"{path}[{place}]", owner) for place, item in enumerate(value)]

    def _map(self, member: str, value: Any, path: str, owner: str) -> Obj:
        if not isinstance(value, dict):
            raise self.error(f"struct field {owner}.{path} of type map[string]{_go_name(member)}", value)
        entries = {name: item for name, item in value.items() if item is not None}
        if path.rpartition(".")[2] in _QUANTITY_MAPS:
            entries = {name: str(item) if _is_number(item) else item for name, item in entries.items()}
        return {name: self._convert(member, item, f"{path}.{name}", owner) for name, item in entries.items()}


def _go_name(kind: str) -> str:
    if scalar := _SCALARS.get(kind):
        return scalar[0]
    return re.sub(r"^(Core)?V\d", "", kind)


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if _is_number(value):
        return "number"
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")
