"""A client generated out of the published descriptions, without a warning, against the running functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.openapi import FUNCTIONS, REFERENCE, rendered
from local.environments import OPENAPI_ENVIRONMENT
from local.functions import ROOT, FunctionServer
from tests.integration.functions.conftest import World

SESSION = Path(__file__).with_name("client_session.py")
TOOLS = OPENAPI_ENVIRONMENT / "bin"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package of each function's client."""
    subprocess.run([sys.executable, "-m", "local.environments", "openapi"], cwd=ROOT, check=True)
    folder = tmp_path_factory.mktemp("clients")
    for function in FUNCTIONS:
        source, package = REFERENCE / "openapi" / f"{function}.yaml", folder / f"{function}_client"
        options = [
            "--path",
            str(source),
            "--output-path",
            str(package),
            "--meta",
            "none",
            "--fail-on-warning",
        ]
        environ = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}
        made = subprocess.run(
            [TOOLS / "openapi-python-client", "generate", *options],
            capture_output=True,
            text=True,
            check=False,
            env=environ,
        )
        assert (made.returncode, "WARNING" in made.stdout) == (0, False), made.stdout + made.stderr
    return folder


def test_the_clients_submit_list_show_and_sync(
    generated: Path, submit: FunctionServer, sync: FunctionServer, jobs: FunctionServer, world: World
) -> None:
    ran = subprocess.run(
        [TOOLS / "python", SESSION, submit.url, sync.url, jobs.url],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(generated), "NO_PROXY": "*"},
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    job_id = said["accepted"]["job_id"]
    assert world.record(job_id)["submitted_by"] == "ann"
    [listed] = said["listed"]["jobs"]
    assert (listed["job_id"], listed["status"]) == (job_id, "CREATED")
    assert said["again"] == 304
    assert said["only"] == [{"job_id": job_id, "status": "CREATED"}]
    assert said["shown"]["job_id"] == job_id
    assert said["scanned"] == [1, 1]
    assert said["unknown"]["code"] == "JOB_NOT_FOUND"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_description_of_a_function_is_that_of_the_whole_without_a_prefix(function: str) -> None:
    text = (REFERENCE / "openapi" / f"{function}.yaml").read_text(encoding="utf-8")
    assert text == rendered(function)
    assert f"\n  /{function}:" not in text
