"""The address of a log in the log store: which templates are valid, and what they become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flinkjobs.domain.log_url import checked_template, log_url

BEGAN = datetime(2026, 11, 23, 6, 0, 0, 500_000, tzinfo=UTC)

ADDRESSES = [
    ("https://logs.example/{job_id}?pod={pod}", "https://logs.example/etl_1?pod=p%2F1"),
    ("https://logs.example/?q={{job={k8s_job_name}}}", "https://logs.example/?q={job=flink-py-etl-1}"),
    (
        "http://l:3100/{namespace}?from={start}&to={end}",
        "http://l:3100/dev?from=2026-11-23T05%3A59%3A00Z&to=2026-11-23T07%3A01%3A00Z",
    ),
    ("https://l/?from={start_ms}&to={end_ms}", "https://l/?from=1795413540500&to=1795417260500"),
]


@pytest.mark.parametrize(("template", "address"), ADDRESSES)
def test_log_url_fills_in_every_value_encoded(template: str, address: str) -> None:
    checked = checked_template(template)
    assert address == log_url(
        checked,
        job_id="etl_1",
        k8s_job_name="flink-py-etl-1",
        namespace="dev",
        pod="p/1",
        start=BEGAN,
        end=BEGAN + timedelta(hours=1),
    )


@pytest.mark.parametrize(
    ("template", "address"), [("https://l/{pod}", None), ("https://l/{job_id}", "https://l/a")]
)
def test_log_url_of_an_unknown_pod_is_none_where_the_template_needs_it(
    template: str, address: str | None
) -> None:
    found = log_url(template, job_id="a", k8s_job_name="b", namespace="c", pod=None, start=BEGAN, end=BEGAN)
    assert found == address


WRONG = [
    "",
    "logs.example/{job_id}",
    "ftp://logs.example/{job_id}",
    "javascript:alert(1)",
    "https://{pod}.logs.example/",
    "https://logs.example{job_id}/",
    "https://user:password@logs.example/{job_id}",
    "https://logs.example/{job}",
    "https://logs.example/{}",
    "https://logs.example/{0}",
    "https://logs.example/{job_id",
    "https://logs.example/{job_id.__class__}",
    "https://logs.example/{job_id[0]}",
    "https://logs.example/{job_id!r}",
    "https://logs.example/{job_id:>10}",
    "https://logs.example/{job_id} x",
    "https:///{job_id}",
]


@pytest.mark.parametrize("template", WRONG)
def test_a_template_that_is_no_address_or_holds_another_placeholder_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"\A(may|must) "):
        checked_template(template)
