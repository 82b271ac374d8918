"""What submit accepts: the request of the contract, checked field by field, every fault at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from flinkjobs.errors import BadRequestError, Fault
from flinkjobs.manifest import InlineScript, PathScript, Resources, Script, Submission
from flinkjobs.settings import DEFAULT_CLUSTER

MAX_INLINE_BYTES: Final = 900 * 1024
"""A ConfigMap holds 1 MiB with everything around the script."""

_TEXT = r"^[^\x00-\x1f\x7f]*$"
_Line = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_TEXT)]
_Path = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f,-][^\x00-\x1f\x7f,]*$")
]
_Argument = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[^\x00]*$")]
_Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Script(_Part):
    path: (
        Annotated[str, StringConstraints(min_length=2, max_length=1024, pattern=r"^/[^\x00-\x1f\x7f]+$")]
        | None
    ) = None
    inline: Annotated[str, StringConstraints(min_length=1, max_length=MAX_INLINE_BYTES)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> _Script:
        if (self.path is None) == (self.inline is None):
            raise ValueError("must have exactly one of path and inline")
        if self.inline is not None and len(self.inline.encode()) > MAX_INLINE_BYTES:
            raise ValueError(f"inline may hold {MAX_INLINE_BYTES} bytes")
        return self


class _Resources(_Part):
    cpu: _Quantity = "500m"
    memory: _Quantity = "1Gi"


class _Body(_Part):
    template_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    job_name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)] | None = None
    script: _Script | None = None
    entry_module: (
        Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] | None
    ) = None
    args: Annotated[list[_Argument], Field(max_length=200)] = []
    parallelism: Annotated[int, Field(ge=1, le=10_000)] | None = None
    py_files: Annotated[list[_Path], Field(max_length=100)] = []
    jars: Annotated[list[_Path], Field(max_length=100)] = []
    flink_conf: Annotated[dict[_Line, _Line], Field(max_length=200)] = {}
    savepoint_path: _Path | None = None
    cluster: str = DEFAULT_CLUSTER
    attached: bool = False
    exactly_once: bool = False
    resources: _Resources = _Resources()
    submitted_by: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_TEXT)] | None = None

    @model_validator(mode="after")
    def _something_to_run(self) -> _Body:
        if self.script is None and (self.entry_module is None or not self.py_files):
            raise ValueError("needs a script, or an entry_module with py_files")
        if self.script is not None and self.entry_module is not None:
            raise ValueError("has both a script and an entry_module; flink runs one of them")
        return self


FORBIDDEN_CONF: Final = (
    (re.compile(r"^\$"), "is internal to Flink"),
    (re.compile(r"^pipeline\.name$"), "is how the record finds its job: the submitter sets it"),
    (
        re.compile(
            r"^(jobmanager\.rpc\.|rest\.(address|port|bind)|execution\.(target|attached)|high-availability)"
        ),
        "would move the submission to another place",
    ),
)
"""Keys of `flink_conf` that a request may not set, and why."""

_CONF_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


def parse_submission(body: dict[str, Any], clusters: Collection[str]) -> Submission:
    """The submission that a request's JSON body describes.

    Args:
        body: the decoded JSON object.
        clusters: names of the Flink clusters in the settings.

    Raises:
        BadRequestError: with one fault per faulty field.
    """
    faults: list[Fault] = []
    parsed: _Body | None = None
    try:
        parsed = _Body.model_validate(body)
    except ValidationError as error:
        faults += [
            Fault(pointer=_pointer(fault["loc"]), detail=fault["msg"].removeprefix("Value error, "))
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    conf, cluster = body.get("flink_conf"), body.get("cluster", DEFAULT_CLUSTER)
    if isinstance(conf, dict):
        faults += _conf_faults(conf)
    if isinstance(cluster, str) and cluster not in clusters:
        faults.append(Fault(pointer="/cluster", detail=f"must be one of: {', '.join(sorted(clusters))}"))
    if faults or parsed is None:
        raise BadRequestError("the request is not valid; nothing was submitted", tuple(faults))
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
        cluster=parsed.cluster,
        attached=parsed.attached,
        exactly_once=parsed.exactly_once,
        resources=Resources(cpu=parsed.resources.cpu, memory=parsed.resources.memory),
        submitted_by=parsed.submitted_by,
    )


def _script(script: _Script | None) -> Script | None:
    if script is None:
        return None
    return PathScript(script.path) if script.path is not None else InlineScript(script.inline or "")


def _conf_faults(conf: Iterable[str]) -> Iterable[Fault]:
    for key in conf:
        pointer = _pointer(("flink_conf", key))
        if not _CONF_KEY.fullmatch(key) and not key.startswith("$"):
            yield Fault(pointer=pointer, detail="is no name of a Flink option")
        for pattern, why in FORBIDDEN_CONF:
            if pattern.search(key):
                yield Fault(pointer=pointer, detail=why)


def _pointer(location: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(
        "/" + str(part).replace("~", "~0").replace("/", "~1") for part in location if part != "[key]"
    )
