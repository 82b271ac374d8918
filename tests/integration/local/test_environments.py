"""Which Flink the local stack runs: the line that FLINK names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.environments import FLINK_LINES, PrepareError, flink_line

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("named", "environment"), [(None, ".venv-flink"), ("", ".venv-flink"), ("2", ".venv-flink2")]
)
def test_flink_line_is_the_one_that_is_named(
    named: str | None, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLINK", raising=False)
    if named is not None:
        monkeypatch.setenv("FLINK", named)
    assert flink_line().environment == ROOT / environment


def test_flink_line_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLINK", "3")
    with pytest.raises(PrepareError, match=r"^FLINK must be 1 or 2, not 3$"):
        flink_line()


@pytest.mark.parametrize(("named", "version"), [("1", "1.20."), ("2", "2.")])
def test_flink_line_has_a_pinned_flink_of_its_own(named: str, version: str) -> None:
    pins = FLINK_LINES[named].requirements.read_text()
    [flink] = re.findall(r"^apache-flink==(\S+)", pins, re.MULTILINE)
    assert flink.startswith(version)
