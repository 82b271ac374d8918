"""The costs that the README states follow from the measured figures and the prices."""

import json
from pathlib import Path

import pytest

from deploy import costs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_states_what_follows_from_the_last_benchmark(readme: str) -> None:
    table = costs.table(json.loads(costs.RESULTS.read_text()))
    assert table in (ROOT / readme).read_text(), "run: python -m deploy.costs"


def test_a_pass_is_billed_by_the_started_tenth_of_a_second() -> None:
    # 0.3 s of one processor and half a GiB, and the request: 0.3 * 0.00002525 + 0.0000004
    assert costs.of_runs(1, 0.21) == pytest.approx(0.000007975)
    assert costs.of_runs(1, 0.3) == pytest.approx(0.000007975)
    assert costs.of_runs(14_600, 1.0) == pytest.approx(14_600 * 0.00002565)


def test_the_frequency_changes_what_sync_costs_and_nothing_else() -> None:
    every_three = costs.lines(1.0, 5.0)
    every_one = costs.lines(1.0, 5.0, sync_minutes=1)
    assert every_one[0].dollars == pytest.approx(3 * every_three[0].dollars)
    assert every_one[1:] == every_three[1:]


def test_the_sizes_are_those_that_are_deployed() -> None:
    functions = (ROOT / "terraform" / "functions.tf").read_text()
    assert f'memory        = "{int(costs.GIB * 1024)}Mi"' in functions
    assert f'cpu           = "{costs.VCPU:g}"' in functions
