"""A stack with a Flink or a Kubernetes of the user's names the settings that these need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.user_settings import missing_settings
from tests.support.recordings import rest
from tests.support.scripted_server import Answer, ScriptedServer

ROOT = Path(__file__).parents[3]
SECONDS = 120.0
REMOTE = {"FLINK_REST_URL": "http://flink.example:8081"}
FORWARDED = {"FLINK_REST_URL": "http://localhost:8081"}
KUBERNETES = {"KUBECONFIG": "kubeconfig"}
IMAGE = {"FLINK_IMAGE": "registry.example/etl:7"}
JOBMANAGER = {"FLINK_JOBMANAGER": "flink-jobmanager:8081"}


@pytest.mark.parametrize(
    ("settings", "local", "remote", "expected"),
    [
        pytest.param({}, "1.20.5", None, [], id="all is local"),
        pytest.param(REMOTE, "1.20.5", "1.20.1", [], id="Flink of the same line"),
        pytest.param(REMOTE, "1.20.5", None, [], id="Flink does not answer"),
        pytest.param(REMOTE, "1.20.5", "2.3.0", ["FLINK_BIN"], id="Flink of another line"),
        pytest.param(
            REMOTE | {"FLINK_BIN": "/a/flink"}, "1.20.5", "2.3.0", [], id="Flink of another line, set"
        ),
        pytest.param(
            REMOTE | {"FLINK_BIN": "/opt/flink/bin/flink"},
            "1.20.5",
            "2.3.0",
            ["FLINK_BIN"],
            id="of the image",
        ),
        pytest.param(KUBERNETES, "1.20.5", None, ["FLINK_IMAGE", "FLINK_REST_URL"], id="Kubernetes alone"),
        pytest.param(KUBERNETES | REMOTE, "1.20.5", "2.3.0", ["FLINK_IMAGE"], id="Kubernetes and Flink"),
        pytest.param(KUBERNETES | REMOTE | IMAGE, "1.20.5", "2.3.0", [], id="Kubernetes and Flink, set"),
        pytest.param(
            KUBERNETES | FORWARDED | IMAGE, "1.20.5", "2.3.0", ["FLINK_JOBMANAGER"], id="a forwarded port"
        ),
        pytest.param(
            KUBERNETES | FORWARDED | IMAGE | JOBMANAGER, "1.20.5", "2.3.0", [], id="a forwarded port, set"
        ),
    ],
)
def test_missing_settings_names_each_variable_that_the_users_parts_need(
    settings: dict[str, str], local: str | None, remote: str | None, expected: list[str]
) -> None:
    lines = missing_settings(settings, local_version=local, remote_version=remote)
    assert [line.partition(":")[0] for line in lines] == expected


def test_make_up_with_a_flink_of_another_line_ends_at_once_and_names_the_setting() -> None:
    _, overview = rest("2.3", "overview--idle")
    environ = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "FLINK_BIN")}
    with ScriptedServer(lambda _: Answer(body=overview)) as flink:
        done = subprocess.run(
            [sys.executable, "-m", "local.up"],
            cwd=ROOT,
            env=environ | {"FLINK_REST_URL": flink.url},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == (
        "The stack did not start. These settings are missing:\n"
        "FLINK_BIN: the local submitters run Flink 1.20.5, whose jobs the Flink 2.3.0 at FLINK_REST_URL "
        "refuses; set it to the path of `flink` of a Flink 2.3, and put a `python` with PyFlink 2.3 first on "
        "PATH\n"
    )
