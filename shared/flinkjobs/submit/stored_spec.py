"""Converts a submission to the fields of its record, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.pod_template import template_hash, template_text
from flinkjobs.submit.submission import (
    InlineScript,
    PathScript,
    Resources,
    Script,
    Submission,
    UrlScript,
)

_ON_THE_RECORD: Final = (
    *(
        "template_id",
        "job_name",
        "submitted_by",
        "submitted_by_verified",
        "cluster",
        "labels",
        "run_of",
        "attempt",
    ),
)
"""Fields of a submission that are fields of the record; `spec` holds all others under their own names."""


def stored_details(
    submission: Submission, key: Key | None, pod_template: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """The part of the record that describes the submission.

    The pod template is stored with it until the Kubernetes Job exists: a repeated request makes the same Job,
    although the settings may hold another template by then. Its hash stays.
    """
    stored = {**asdict(submission), "script": _stored_script(submission.script)}
    spec = {name: value for name, value in stored.items() if name not in _ON_THE_RECORD}
    details: dict[str, Any] = {
        "template_id": submission.template_id,
        "job_name": submission.job_name or submission.template_id,
        "submitted_by": submission.submitted_by,
        "submitted_by_verified": submission.submitted_by_verified,
        "labels": dict(submission.labels),
        "spec": {name: list(value) if isinstance(value, tuple) else value for name, value in spec.items()},
    }
    if pod_template is not None:
        text = template_text(pod_template)
        details |= {"pod_template": text, "pod_template_hash": template_hash(text)}
    if key is None:
        return details
    return {**details, "idempotency_key": key.value, "request_hash": key.request_hash}


def pod_template_of(details: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pod template that `stored_details` was given."""
    text = details.get("pod_template")
    template: Mapping[str, Any] | None = None if text is None else json.loads(text)
    return template


def submission_of(details: Mapping[str, Any], cluster: str) -> Submission:
    """The submission that `stored_details` describes.

    A version with other fields may have stored it: a field that is missing has its default, and one that is
    not known here is ignored.
    """
    spec = details["spec"]
    values = {field.name: spec[field.name] for field in fields(Submission) if field.name in spec}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    values["script"] = _script_of(spec["script"])
    values["resources"] = Resources(**spec["resources"])
    return Submission(
        template_id=details["template_id"],
        job_name=details["job_name"],
        submitted_by=details["submitted_by"],
        submitted_by_verified=details.get("submitted_by_verified") is True,
        labels=details.get("labels", {}),
        cluster=cluster,
        **values,
    )


def _script_of(stored: Mapping[str, str] | None) -> Script | None:
    if stored is None:
        return None
    if "path" in stored:
        return PathScript(stored["path"])
    return InlineScript(stored["inline"]) if "inline" in stored else UrlScript(stored["url"])


def _stored_script(script: Script | None) -> dict[str, str] | None:
    if script is None:
        return None
    if isinstance(script, PathScript):
        return {"path": script.path}
    return {"inline": script.text} if isinstance(script, InlineScript) else {"url": script.url}
