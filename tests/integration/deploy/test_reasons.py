"""The derived texts are written anew whatever was changed in them by hand."""

from __future__ import annotations

import pytest

from deploy.reasons import FILES, ROOT, UI


@pytest.mark.parametrize(
    ("name", "written", "by_hand"),
    [
        ("docs/reference/codes.md", "| `OOM` | CREATED |", "| `OOM` | FAILED |"),
        ("docs/reference/codes.md", "| `OOM` |", "| `GONE` | LOST | a code of before | nothing |\n| `OOM` |"),
        ("docs/how-to/operations.md", "Run `flinkjobs schedules apply`. |", "Wait. |"),
        ("docs/how-to/operations.md", "| MongoDB does not answer |", "| MongoDB is slow |"),
        (f"{UI}/messages.en.json", "out of memory", "too little memory"),
        (f"{UI}/messages.zh.json", '"内存不足"', '"内存"'),
        (
            f"{UI}/messages.en.json",
            '"reason.OOM.title"',
            '"reason.GONE.title": "gone",\n  "reason.OOM.title"',
        ),
        (f"{UI}/details_parts.js", '"NO_JOB_SUBMITTED"', '"GONE"'),
    ],
)
def test_a_text_changed_by_hand_is_written_anew(name: str, written: str, by_hand: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    changed = text.replace(written, by_hand, 1)
    assert changed != text
    assert FILES[name](changed) == text
