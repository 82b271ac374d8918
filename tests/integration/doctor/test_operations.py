"""docs/how-to/operations.md: its transcripts are what doctor says."""

from __future__ import annotations

import re

import pytest

from tests.integration.doctor import record, test_problems
from tests.integration.doctor.conftest import Doctor
from tests.integration.doctor.system import System

SHOWN = re.findall(r"<!-- doctor: (\w+) -->", record.PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def is_recording(request: pytest.FixtureRequest) -> bool:
    """Whether the page and the picture are to be written anew."""
    chosen: bool = request.config.getoption("--record-docs")
    return chosen


@pytest.mark.parametrize("problem", SHOWN)
def test_a_transcript_is_what_doctor_says(
    system: System, doctor: Doctor, problem: str, is_recording: bool
) -> None:
    getattr(test_problems, problem)(system)
    said = record.text_of(record.draw(doctor("--json")))
    page = record.PAGE.read_text(encoding="utf-8")
    if is_recording:

        def written(found: re.Match[str]) -> str:
            return found[0] if found[1] != problem else f"{found[1]}{found[2]}{said}"

        page = record.BLOCK.sub(written, page)
        record.PAGE.write_text(page, encoding="utf-8")
    [shown] = [found[3] for found in record.BLOCK.finditer(page) if found[1] == problem]
    assert record.steady(shown) == record.steady(said)


def test_the_picture_shows_what_doctor_says(system: System, doctor: Doctor, is_recording: bool) -> None:
    test_problems.script_raises(system)
    test_problems.image_cannot_be_pulled(system)
    console = record.draw(doctor("--json"))
    if is_recording:
        record.PICTURE.write_text(record.svg_of(console), encoding="utf-8")
    picture = record.PICTURE.read_text(encoding="utf-8")
    drawn = re.sub(r"<[^>]+>|&#160;", " ", picture.partition("</style>")[2])
    assert not re.findall(r"https?://(?!127\.0\.0\.1|www\.w3\.org|www\.textualize\.io)", picture)
    for code in ("IMAGE_PULL", "SUBMIT_FAILED"):
        assert f"{code}:" in record.text_of(console)
        assert f"{code}:" in drawn
    checks = re.findall(r"^(?:ok|warn|fail|skipped) +(\S+)", record.text_of(console), re.MULTILINE)
    assert len(checks) == 20
    assert all(check in drawn for check in checks)
