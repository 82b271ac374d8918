"""The submission as a record keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.submission import (
    InlineScript,
    PathScript,
    Resources,
    Script,
    Submission,
    UrlScript,
)


def stored_details(submission: Submission, key: Key | None) -> Mapping[str, Any]:
    """What was submitted, as the record keeps it."""
    spec: dict[str, Any] = {
        "script": _script_as_submitted(submission),
        "entry_module": submission.entry_module,
        "args": list(submission.args),
        "parallelism": submission.parallelism,
        "py_files": list(submission.py_files),
        "jars": list(submission.jars),
        "flink_conf": dict(submission.flink_conf),
        "savepoint_path": submission.savepoint_path,
        "attached": submission.attached,
        "exactly_once": submission.exactly_once,
        "resources": {"cpu": submission.resources.cpu, "memory": submission.resources.memory},
    }
    details = {
        "template_id": submission.template_id,
        "job_name": submission.job_name or submission.template_id,
        "submitted_by": submission.submitted_by,
        "spec": spec,
    }
    if key is None:
        return details
    return {**details, "idempotency_key": key.value, "request_hash": key.request_hash}


def submission_of(details: Mapping[str, Any], cluster: str) -> Submission:
    """The submission that `stored_details` describes: that of the first request."""
    spec = details["spec"]
    return Submission(
        template_id=details["template_id"],
        script=_script_of(spec["script"]),
        job_name=details["job_name"],
        entry_module=spec["entry_module"],
        args=tuple(spec["args"]),
        parallelism=spec["parallelism"],
        py_files=tuple(spec["py_files"]),
        jars=tuple(spec["jars"]),
        flink_conf=dict(spec["flink_conf"]),
        savepoint_path=spec["savepoint_path"],
        cluster=cluster,
        attached=spec["attached"],
        exactly_once=spec["exactly_once"],
        resources=Resources(**spec["resources"]),
        submitted_by=details["submitted_by"],
    )


def _script_of(stored: Mapping[str, str] | None) -> Script | None:
    if stored is None:
        return None
    if "path" in stored:
        return PathScript(stored["path"])
    return InlineScript(stored["inline"]) if "inline" in stored else UrlScript(stored["url"])


def _script_as_submitted(submission: Submission) -> dict[str, str] | None:
    script = submission.script
    if script is None:
        return None
    if isinstance(script, PathScript):
        return {"path": script.path}
    return {"inline": script.text} if isinstance(script, InlineScript) else {"url": script.url}
