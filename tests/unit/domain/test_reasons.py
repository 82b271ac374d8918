"""The table of reasons is complete, and agrees with the rules that produce the codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.reasons import ENDED_WITHOUT_ID, REASONS, ProblemKind, ReasonCode, ReasonInfo

MOVES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "decide.yaml").read_text(encoding="utf-8")
)


def test_the_table_has_a_row_for_every_code_and_no_other() -> None:
    assert list(REASONS) == list(ReasonCode)


@pytest.mark.parametrize(("code", "info"), REASONS.items())
def test_a_row_says_what_happened_and_what_to_do_in_both_languages(
    code: ReasonCode, info: ReasonInfo
) -> None:
    for text, full_stop in ((info.en, "."), (info.zh, "。")):
        assert text.title
        assert not text.title.endswith(full_stop)
        assert text.meaning.endswith(full_stop)
        assert text.remedy.endswith(full_stop)
    for words in (info.zh.title, info.zh.meaning, info.zh.remedy):
        assert re.search(r"[\u4e00-\u9fff]", words), code
    # Names in backticks are the same in both languages; a pipe would end the cell of a Markdown table.
    both = [re.findall(r"`[^`]+`", text.meaning + text.remedy) for text in (info.en, info.zh)]
    assert set(both[0]) == set(both[1])
    assert "|" not in info.en.meaning + info.en.remedy


@pytest.mark.parametrize("info", REASONS.values(), ids=REASONS)
def test_a_row_has_a_status_and_no_problem_of_the_whole_system(info: ReasonInfo) -> None:
    assert info.statuses
    assert info.problem is not ProblemKind.STATUS_LAGS


def test_the_reasons_of_failures_before_flink() -> None:
    assert set(ENDED_WITHOUT_ID) == {
        "K8S_REFUSED",
        "K8S_JOB_MISSING",
        "IMAGE_UNSUITABLE",
        "SUBMIT_FAILED",
        "NO_JOB_SUBMITTED",
        "LOG_UNAVAILABLE",
    }


def test_a_record_moves_to_a_reason_with_a_status_of_its_row() -> None:
    """The rows of decide.yaml that set a reason; a status that a row does not name is as it was."""
    moves = [row for row in MOVES if row["then"] != "nothing" and row["then"].get("reason")]
    assert len(moves) > 10
    for row in moves:
        status = row["then"].get("status") or row.get("record", {}).get("status", "CREATED")
        assert status in REASONS[row["then"]["reason"][0]].statuses, row["rule"]
