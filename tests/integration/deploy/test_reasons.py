"""The derived texts are written anew whatever was changed in them by hand."""

from __future__ import annotations

import pytest

from deploy.reasons import FILES, ROOT, UI, with_next_steps


@pytest.mark.parametrize(
    ("name", "written", "by_hand"),
    [
        ("docs/codes.md", "| `OOM` | CREATED |", "| `OOM` | FAILED |"),
        ("docs/codes.md", "| `OOM` |", "| `GONE` | LOST | a code of before | nothing |\n| `OOM` |"),
        ("docs/operations.md", "Run `flinkjobs schedules apply`. |", "Wait. |"),
        (f"{UI}/messages.en.json", "out of memory", "too little memory"),
        (f"{UI}/messages.zh.json", '"内存不足"', '"内存"'),
        (
            f"{UI}/messages.en.json",
            '"reason.OOM.title"',
            '"reason.GONE.title": "gone",\n  "reason.OOM.title"',
        ),
        (f"{UI}/details.js", '"NO_JOB_SUBMITTED"', '"GONE"'),
    ],
)
def test_a_text_changed_by_hand_is_written_anew(name: str, written: str, by_hand: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    changed = text.replace(written, by_hand, 1)
    assert changed != text
    assert FILES[name](changed) == text


def test_a_code_of_doctor_without_a_meaning_on_the_page_is_an_error() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    without = "".join(line for line in page.splitlines(True) if not line.startswith("| `SYNC_OLD` |"))
    with pytest.raises(ValueError, match="SYNC_OLD"):
        with_next_steps(without)
