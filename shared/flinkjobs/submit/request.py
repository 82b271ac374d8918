"""Validates the request body of submit; reports every fault in one error."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    TemplateMissingError,
    TemplateUnusableError,
    describe_faults,
    json_pointer,
)
from flinkjobs.domain.flink_options import CONF_KEY, FORBIDDEN_CONF
from flinkjobs.domain.labels import MAX_LABELS, MAX_VALUE, VALUE_PATTERN, check_free_key
from flinkjobs.domain.text import cut
from flinkjobs.settings.functions import DEFAULT_CLUSTER
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Script, Submission, UrlScript

M = TypeVar("M", bound=BaseModel)

NOT_VALID: Final = "the request is not valid; nothing was submitted"

MAX_INLINE_BYTES: Final = 900 * 1024
"""A ConfigMap holds 1 MiB with everything around the script."""

MAX_PY_FILES_BYTES: Final = 128 * 1024 - 1
"""Linux passes on no longer argument; `flink run` takes all `py_files` in one."""

MAX_ENTRIES: Final = 200
"""No object and no array of a request holds more; checked before the entries."""


def _no_climbing(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("may not climb with ..")
    return path


def _fits_config_map(text: str) -> str:
    if len(text.encode()) > MAX_INLINE_BYTES:
        raise ValueError(f"may hold {MAX_INLINE_BYTES} bytes")
    return text


def _fits_argument(paths: list[str]) -> list[str]:
    if len(",".join(paths).encode()) > MAX_PY_FILES_BYTES:
        raise ValueError(f"may hold {MAX_PY_FILES_BYTES} bytes together")
    return paths


def _no_second(jars: list[str]) -> list[str]:
    """https://nightlies.apache.org/flink/flink-docs-stable/docs/deployment/cli/#submitting-pyflink-jobs"""
    if len(jars) > 1:
        raise ValueError("may hold one jar: flink run ignores all but the first; build one jar of them")
    return jars


def _more_than_nothing(quantity: str) -> str:
    if not re.search("[1-9]", quantity):
        raise ValueError("must be more than nothing: Kubernetes takes a limit of 0 for no limit")
    return quantity


_TEXT = r"^[^\x00-\x1f\x7f]*$"
_Line = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_TEXT)]
_Path = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f,\"-][^\x00-\x1f\x7f,]*$"),
    AfterValidator(_no_climbing),
]
"""Neither an option nor quoted: `flink run` takes the quotes around an option's value off."""

StatePath: TypeAlias = _Path
"""Where a job is restored from."""

_Argument = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[^\x00]*$")]
_Quantity = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"),
    AfterValidator(_more_than_nothing),
]
_LabelKey = Annotated[str, AfterValidator(check_free_key)]
_LabelValue = Annotated[str, StringConstraints(max_length=MAX_VALUE, pattern=VALUE_PATTERN)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Script(_Part):
    path: (
        Annotated[
            str,
            StringConstraints(min_length=2, max_length=1024, pattern=r"^/[^\x00-\x1f\x7f]+$"),
            AfterValidator(_no_climbing),
        ]
        | None
    ) = None
    inline: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=MAX_INLINE_BYTES),
            AfterValidator(_fits_config_map),
        ]
        | None
    ) = None
    url: Annotated[str, StringConstraints(min_length=9, max_length=2048, pattern=r"^[!-~]+$")] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Script:
        if [self.path, self.inline, self.url].count(None) != 2:  # noqa: PLR2004 - one of three is there
            raise ValueError("must have exactly one of path, inline and url")
        return self


class _Resources(_Part):
    cpu: _Quantity = "500m"
    memory: _Quantity = "1Gi"


TemplateId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
SubmittedBy = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)]


class Repeatable(_Part):
    """What a request to run a job again may give in place of the first one's."""

    script: _Script | None = None
    args: Annotated[list[_Argument], Field(max_length=MAX_ENTRIES)] = []
    parallelism: Annotated[int, Field(ge=1, le=10_000)] | None = None
    flink_conf: Annotated[dict[_Line, _Line], Field(max_length=MAX_ENTRIES)] = {}


class _Body(Repeatable):
    template_id: TemplateId
    job_name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)] | None = None
    entry_module: (
        Annotated[
            str,
            StringConstraints(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"),
        ]
        | None
    ) = None
    py_files: Annotated[list[_Path], Field(max_length=100), AfterValidator(_fits_argument)] = []
    jars: Annotated[list[_Path], AfterValidator(_no_second)] = []
    savepoint_path: StatePath | None = None
    allow_non_restored_state: bool = False
    cluster: str = DEFAULT_CLUSTER
    attached: bool = False
    exactly_once: bool = False
    resources: _Resources = _Resources()
    submitted_by: SubmittedBy | None = None
    labels: Annotated[dict[_LabelKey, _LabelValue], Field(max_length=MAX_LABELS)] = {}


FIELDS: Final = frozenset(_Body.model_fields)
"""Names of the fields of a submission."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that the settings put on a request.

    Attributes:
        clusters: names of the Flink clusters in the settings.
        script_hosts: hosts that a script may be fetched from.
    """

    clusters: Collection[str]
    script_hosts: Collection[str] = frozenset()


def check_request(body: dict[str, Any], limits: Limits) -> str:
    """Checks every given field; returns the id of the template to look up.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    return _parsed(body, limits).template_id


def parse_submission(
    body: dict[str, Any], limits: Limits, template: Mapping[str, Any] | None = None
) -> Submission:
    """The submission that a request's JSON body describes, with its template's defaults.

    Args:
        body: the decoded JSON object.
        limits: see `Limits`.
        template: what `template_defaults` made of the template's document; None where there is none.

    Raises:
        BadRequestError: with one fault per faulty field.
        TemplateMissingError: nothing is to be run: no script in the request, and no template.
        TemplateUnusableError: the template's own values are faulty.
    """
    requested = _parsed(body, limits)
    defaults = dict(template or {})
    if requested.script is not None or requested.entry_module is not None:
        defaults = {name: value for name, value in defaults.items() if name not in ("script", "entry_module")}
    try:
        given = {name: value for name, value in body.items() if value is not None}
        parsed = _parsed({**defaults, **given}, limits) if defaults else requested
    except BadRequestError as error:
        message = f"template {requested.template_id} has faulty values: {describe_faults(error.faults)}"
        raise TemplateUnusableError(message) from error
    _expect_program(parsed, has_template=template is not None)
    return Submission(
        template_id=parsed.template_id,
        script=_script(parsed.script),
        job_name=parsed.job_name,
        entry_module=parsed.entry_module,
        args=tuple(parsed.args),
        parallelism=parsed.parallelism,
        py_files=tuple(parsed.py_files),
        jars=tuple(parsed.jars),
        flink_conf=dict(parsed.flink_conf),
        savepoint_path=parsed.savepoint_path,
        allow_non_restored_state=parsed.allow_non_restored_state,
        cluster=parsed.cluster,
        attached=parsed.attached,
        exactly_once=parsed.exactly_once,
        resources=Resources(cpu=parsed.resources.cpu, memory=parsed.resources.memory),
        submitted_by=parsed.submitted_by,
        labels=dict(parsed.labels),
    )


def template_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """The request's fields that a document of `job_templates` supplies, in the old platform's shape.

    `config` holds `script_path`, `entry_point`, `args` and `jar_files`, and next to it `parallelism`.
    `entry_point` names the module to run where there is no script.

    Raises:
        TemplateUnusableError: the template is not active, or has not that shape.
    """
    template_id, status = document.get("template_id"), document.get("status", "active")
    if not isinstance(status, str) or status.lower() not in ("active", "enabled", "published"):
        raise TemplateUnusableError(
            f"template {template_id} is {cut(str(status), 40)}: it cannot be submitted"
        )
    config = document.get("config") or {}
    if not isinstance(config, Mapping):
        raise TemplateUnusableError(f"template {template_id}: its config is no object")
    script_path, entry_point = config.get("script_path"), config.get("entry_point")
    defaults: dict[str, Any] = {
        "script": {"path": script_path} if script_path else None,
        "entry_module": entry_point if entry_point and not script_path else None,
        "args": config.get("args"),
        "jars": config.get("jar_files"),
        "parallelism": document.get("parallelism"),
    }
    return {name: value for name, value in defaults.items() if value is not None}


def _parsed(body: dict[str, Any], limits: Limits) -> _Body:
    faults = list(overfull(body))
    if faults:
        raise BadRequestError(NOT_VALID, tuple(faults))
    parsed: _Body | None = None
    try:
        parsed = _Body.model_validate(body)
    except ValidationError as error:
        faults += validation_faults(error)
    conf, cluster = body.get("flink_conf"), body.get("cluster", DEFAULT_CLUSTER)
    if isinstance(conf, dict):
        faults += _conf_faults(conf)
    if isinstance(cluster, str) and cluster not in limits.clusters:
        known = ", ".join(sorted(limits.clusters))
        faults.append(Fault(pointer="/cluster", detail=f"must be one of: {known}"))
    script = body.get("script")
    url = script.get("url") if isinstance(script, dict) else None
    if isinstance(url, str) and not any(fault.pointer == "/script/url" for fault in faults):
        faults += _url_faults(url, limits.script_hosts)
    if script is not None and body.get("entry_module") is not None:
        faults.append(
            Fault(pointer="/entry_module", detail="given together with a script; flink runs one of them")
        )
    if body.get("allow_non_restored_state") is True and body.get("savepoint_path") is None:
        faults.append(Fault(pointer="/allow_non_restored_state", detail="needs a savepoint_path"))
    if faults or parsed is None:
        raise BadRequestError(NOT_VALID, tuple(faults))
    return parsed


def validated(model: type[M], body: Mapping[str, Any], *, effect: str) -> M:
    """The request that a JSON body describes.

    Args:
        model: of the request.
        body: decoded.
        effect: what was not done where the request is not valid, such as `nothing was submitted`.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        message = f"the request is not valid; {effect}"
        raise BadRequestError(message, tuple(validation_faults(error))) from error


def validation_faults(error: ValidationError) -> Iterable[Fault]:
    """The faults that pydantic found, by their place in the body."""
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        detail = fault["msg"].removeprefix("Value error, ")
        yield Fault(pointer=json_pointer(_field(fault["loc"])), detail=detail)


def overfull(body: Mapping[str, Any]) -> Iterable[Fault]:
    """The objects and arrays with more entries than any may have: these get no fault for each entry."""
    for location, value in ((), body), *(((name,), value) for name, value in body.items()):
        if isinstance(value, (dict, list)) and len(value) > MAX_ENTRIES:
            yield Fault(pointer=json_pointer(location), detail=f"may have {MAX_ENTRIES} entries")


def _expect_program(parsed: _Body, *, has_template: bool) -> None:
    if parsed.entry_module is not None and not parsed.py_files:
        fault = Fault(pointer="/py_files", detail="must hold the file with the entry_module")
    elif parsed.script is None and parsed.entry_module is None:
        if not has_template:
            raise TemplateMissingError(
                f"there is no template {parsed.template_id}, and the request has no script of its own"
            )
        fault = Fault(pointer="/script", detail="is needed: the template names none")
    else:
        return
    raise BadRequestError(NOT_VALID, (fault,))


def _url_faults(url: str, hosts: Collection[str]) -> Iterable[Fault]:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        yield Fault(pointer="/script/url", detail="is no URL")
        return
    if parts.scheme != "https" or parts.username is not None or port not in (None, 443):
        yield Fault(pointer="/script/url", detail="must be https, on the usual port, without a user")
    if host not in hosts:
        allowed = ", ".join(sorted(hosts)) or "none (ALLOWED_SCRIPT_HOSTS)"
        yield Fault(pointer="/script/url", detail=f"must be on an allowed host: {allowed}")


def _script(script: _Script | None) -> Script | None:
    if script is None:
        return None
    if script.path is not None:
        return PathScript(script.path)
    return UrlScript(script.url) if script.url is not None else InlineScript(script.inline or "")


def _conf_faults(conf: Iterable[str]) -> Iterable[Fault]:
    for key in conf:
        pointer = json_pointer(("flink_conf", key))
        if not CONF_KEY.fullmatch(key) and not key.startswith("$"):
            yield Fault(pointer=pointer, detail="is no name of a Flink option")
        for pattern, why in FORBIDDEN_CONF:
            if pattern.search(key):
                yield Fault(pointer=pointer, detail=why)


def _field(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A location as pydantic reports it, without the mark that it is a dictionary's key which is faulty."""
    return location[:2] if location[:1] in (("flink_conf",), ("labels",)) else location
