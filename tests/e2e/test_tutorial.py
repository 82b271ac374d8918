"""A reader who follows the tutorial, step by step, gets what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import Stack
from tests.e2e.test_documentation import commands

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^```console tutorial\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOB_ID = re.compile(r"^(first_job_\d+) is ", re.MULTILINE)
STEP_SECONDS = 120


@pytest.mark.parametrize("name", ["tutorial.md", "tutorial.zh-CN.md"])
def test_tutorial_each_step_gives_what_the_page_shows(name: str, stack: Stack, tmp_path: Path) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    [script] = SCRIPT.findall(page)
    (tmp_path / "first_job.py").write_text(script)
    environ = {
        **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
        **stack.command_settings,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    job_id, shown = "", []
    for step in STEP.findall(page):
        command = commands(step).replace(" ID", f" {job_id}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        output = done.stdout + done.stderr
        if found := JOB_ID.search(output):
            job_id = found[1]
        shown.append(output)
    finished, details, failed, log = shown
    assert "is FINISHED after" in finished
    assert re.search(r"\b[0-9a-f]{32}\b", details), details
    assert "SUBMIT_FAILED: ValueError: invalid literal for int() with base 10: 'ten'" in failed
    assert "exit code 1" in failed
    assert "Traceback" in log
