"""What is shown of submitters' output from the field; the rows are in `tests/data/cases/expected.yaml`."""

from __future__ import annotations

from typing import Any

import pytest

from flinkjobs.domain import submitter_log
from tests.support.cases import rows, text


@pytest.mark.parametrize("row", rows("logs"))
def test_error_lines_of_a_log_from_the_field_name_the_cause(row: dict[str, Any]) -> None:
    shown = submitter_log.error_lines(text(row["case"], "submit.log")).splitlines()
    assert [line for line in row["lines"] if line not in {each.strip(" |") for each in shown}] == [], shown
