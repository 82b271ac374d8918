"""Who acts on the page, by the rows of `tests/data/operators.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flinkjobs.domain.operators import Actor, actor_of, check_operator

ROWS = yaml.safe_load((Path(__file__).parents[2] / "data" / "operators.yaml").read_text())


@pytest.mark.parametrize("row", ROWS, ids=[row["rule"] for row in ROWS])
def test_actor_of(row: dict[str, Any]) -> None:
    for entry in row["operators"]:
        check_operator(entry)
    actual = actor_of(row["sent"], row["header"], row["operators"])
    assert actual == Actor(name=row["user"], may_act=row["may_act"])


@pytest.mark.parametrize(
    "entry",
    ["a*@example.com", "**", "*@", "*@a@b", "*@*.example.com", "ann@example.com\x00", "änn@example.com"],
)
def test_check_operator_refuses_what_matches_no_user(entry: str) -> None:
    with pytest.raises(ValueError, match="must hold addresses"):
        check_operator(entry)
