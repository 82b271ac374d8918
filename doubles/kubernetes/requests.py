"""What a request means: its verb, resource and options, and how an answer is described before it is sent."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import msgspec

from doubles.kubernetes.errors import ApiError, bad_request
from doubles.kubernetes.objects import BY_PATH, NAMESPACES, Obj, Resource

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_CORE_PREFIX, _GROUP_PREFIX = 2, 3


@dataclass(frozen=True, slots=True)
class Target:
    """The object or collection a path names, and what is done with it."""

    resource: Resource | None
    """None for paths that are not about objects (health, discovery, access reviews) and unknown ones."""
    group: str
    plural: str
    """Empty where the path names no resource at all."""
    namespace: str | None
    """None for all namespaces, and for kinds without."""
    name: str
    subresource: str
    verb: str

    @property
    def label(self) -> str:
        """As counters and faults call the resource: `jobs`, `pods/log`."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


@dataclass(slots=True)
class Answer:
    """What is to be sent."""

    body: bytes | AsyncIterator[bytes] = b""
    code: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def parse_target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Take a request apart. Never fails: what is unknown is answered with 404 later."""
    parts = [part for part in path.split("/") if part]
    group, version, rest = "", "", []
    if parts[:1] == ["api"]:
        version, rest = (parts[1] if len(parts) >= _CORE_PREFIX else ""), parts[_CORE_PREFIX:]
    elif parts[:1] == ["apis"] and len(parts) >= _GROUP_PREFIX:
        group, version, rest = parts[1], parts[2], parts[_GROUP_PREFIX:]
    namespace: str | None = None
    if len(rest) > _CORE_PREFIX and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "", "")[:3]
    resource = BY_PATH.get((group, version, plural))
    if resource is NAMESPACES:
        namespace = ""
    verb = _VERBS.get(method, "")
    if method in ("GET", "HEAD"):
        watching = query.get("watch", "") in ("true", "1")
        verb = "get" if name else "watch" if watching else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    known = resource if len(rest) <= 3 and (namespace is not None or not name) else None  # noqa: PLR2004
    return Target(known, group, plural, namespace, name, subresource, verb)


class RequestCounter:
    """How often each verb was used on each resource."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._counts: Counter[str] = Counter()

    def count(self, target: Target) -> None:
        """One more."""
        self._counts[f"{target.verb} {target.label or 'other'}"] += 1

    def counts(self) -> dict[str, int]:
        """As in `{"list jobs": 2, "get pods/log": 1}`."""
        return dict(self._counts)

    def reset(self) -> None:
        """Begin again."""
        self._counts.clear()


def json_answer(value: object, code: int = 200) -> Answer:
    """An answer with a JSON body."""
    return Answer(msgspec.json.encode(value), code)


def error_answer(error: ApiError) -> Answer:
    """An answer with a Status body."""
    return Answer(msgspec.json.encode(error.status()), error.code, headers=error.headers)


def parse_json(body: bytes) -> Obj:
    """A request's body, which must be an object.

    Raises:
        ApiError: 400.
    """
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(value, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no object")
    return value


def integer(query: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a number.

    Raises:
        ApiError: 400.
    """
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def flag(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is true or false."""
    return query.get(name, "") in ("true", "1", "True")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with its body read."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: Target
    warnings: list[str] = field(default_factory=list)
    """What the answer's `Warning` header says, whether the call succeeds or not."""

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored."""
        return self.query.get("dryRun") == "All"

    @property
    def as_table(self) -> bool:
        """Whether the client prefers a Table (kubectl get)."""
        return "as=Table" in self.headers.get("Accept", "").partition(",")[0]

    @property
    def content_type(self) -> str:
        """The body's media type without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip()
