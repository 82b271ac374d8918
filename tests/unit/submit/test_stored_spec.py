"""A submission is stored on its record, and read back for a repeated request."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.stored_spec import stored_details, submission_of
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Script, Submission, UrlScript

FULL = Submission(
    template_id="etl",
    script=InlineScript("print()"),
    job_name="nightly",
    entry_module="etl.main",
    args=("--day", "1"),
    parallelism=4,
    py_files=("/opt/etl.zip",),
    jars=("/opt/etl.jar",),
    flink_conf={"pipeline.object-reuse": "true"},
    cluster_conf={"security.ssl.rest.enabled": "true"},
    savepoint_path="s3://savepoints/1",
    allow_non_restored_state=True,
    cluster="batch",
    attached=True,
    exactly_once=True,
    resources=Resources(cpu="1", memory="2Gi"),
    submitted_by="ann",
    submitted_by_verified=True,
    labels={"team": "search", "example.com/stage.1": ""},
)


def test_stored_details_of_a_full_submission() -> None:
    assert stored_details(FULL, Key("k", "h")) == {
        "template_id": "etl",
        "job_name": "nightly",
        "submitted_by": "ann",
        "submitted_by_verified": True,
        "labels": {"team": "search", "example.com/stage.1": ""},
        "spec": {
            "script": {"inline": "print()"},
            "entry_module": "etl.main",
            "args": ["--day", "1"],
            "parallelism": 4,
            "py_files": ["/opt/etl.zip"],
            "jars": ["/opt/etl.jar"],
            "flink_conf": {"pipeline.object-reuse": "true"},
            "cluster_conf": {"security.ssl.rest.enabled": "true"},
            "savepoint_path": "s3://savepoints/1",
            "allow_non_restored_state": True,
            "attached": True,
            "exactly_once": True,
            "resources": {"cpu": "1", "memory": "2Gi"},
        },
        "idempotency_key": "k",
        "request_hash": "h",
    }


@pytest.mark.parametrize(
    "script", [PathScript("/opt/etl.py"), InlineScript("print()"), UrlScript("https://host/etl.py"), None]
)
def test_a_stored_submission_is_read_back_unchanged(script: Script | None) -> None:
    submission = replace(FULL, script=script)
    assert submission_of(stored_details(submission, None), "batch") == submission


def test_the_example_sets_every_field() -> None:
    """Else a field that is stored wrongly could pass; two are fields of the record alone."""
    default = Submission(template_id="", script=None)
    unset = [f.name for f in fields(Submission) if getattr(FULL, f.name) == getattr(default, f.name)]
    assert unset == ["run_of", "attempt"]


def test_a_submission_of_another_version_is_read() -> None:
    """A missing field has its default, and an unknown one is ignored."""
    details = stored_details(FULL, None)
    spec = {name: value for name, value in details["spec"].items() if name != "parallelism"}
    others = {name: value for name, value in details.items() if name != "labels"}
    read = submission_of({**others, "spec": {**spec, "pod_template": "gpu"}}, "batch")
    assert read == replace(FULL, parallelism=None, labels={})
