"""A reader who follows the tutorial, step by step, gets what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.stack import Stack
from tests.e2e.test_documentation import commands, run_block

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^```console tutorial\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOB_ID = re.compile(r"^(first_job_\d+) is ", re.MULTILINE)


@pytest.mark.parametrize("name", ["tutorial.md", "tutorial.zh-CN.md"])
def test_tutorial_each_step_gives_what_the_page_shows(name: str, stack: Stack, tmp_path: Path) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    [script] = SCRIPT.findall(page)
    (tmp_path / "first_job.py").write_text(script)
    job_id, shown = "", []
    for step in STEP.findall(page):
        command = commands(step).replace(" ID", f" {job_id}")
        output = run_block(command, stack.command_settings, home=tmp_path, directory=tmp_path)
        if found := JOB_ID.search(output):
            job_id = found[1]
        shown.append(output)
    finished, details, failed, log = shown
    assert "is FINISHED after" in finished
    assert re.search(r"\b[0-9a-f]{32}\b", details), details
    assert "SUBMIT_FAILED: ValueError: invalid literal for int() with base 10: 'ten'" in failed
    assert "exit code 1" in failed
    assert "Traceback" in log
