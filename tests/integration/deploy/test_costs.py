"""The costs in the documentation follow from the measurements and the prices."""

import json
from pathlib import Path

import pytest

from deploy import costs
from tests.terraform.module import MODULE, one, parse, read_module

ROOT = Path(__file__).resolve().parents[3]
RESULTS = {
    "cases": [
        {"world": "10,000 open, 10 % changed", "who": "floor", "median": {"seconds": 0.1}},
        {"world": "10,000 open, 10 % changed", "who": "sync", "median": {"seconds": 0.41}},
        {
            "world": "1,000 open, 0 % changed, 500 without an id, 20,000 finished Jobs",
            "who": "cleanup",
            "median": {"seconds": 3.0},
        },
    ]
}


@pytest.mark.parametrize("page", costs.WORDS)
def test_the_page_states_what_follows_from_the_last_benchmark(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    results = json.loads(costs.RESULTS.read_text(encoding="utf-8"))
    assert costs.written(text, costs.table(results, costs.WORDS[page])) == text, (
        "run: python -m deploy.costs --write"
    )


def test_the_table_is_worked_out_from_seconds_and_prices() -> None:
    # sync: 14,600 × (0.5 s × $0.00002525 + $0.0000004); cleanup: 30.4 × (103 s × $0.00002525 + $0.0000004)
    assert costs.table(RESULTS).splitlines() == [
        "| | | US$ a month |",
        "|---|---|---:|",
        "| sync, `*/3` | 14,600 passes × 0.41 s × (1 vCPU, 0.5 GiB) | 0.19 |",
        "| cleanup, daily | 30 runs × (3.0 s + 2,000 deletions at 20 a second) | 0.08 |",
        "| two schedules | 2 × $0.10 | 0.20 |",
        "| two secrets | 2 versions × $0.06 | 0.12 |",
        "| **together** | | **0.59** |",
        "| with `*/1` instead | sync 0.57 | 0.97 |",
        "| with `*/10` instead | sync 0.06 | 0.46 |",
        "| with a VPC connector instead of direct egress | 2 × e2-micro × 730 h × $0.0092 = 13.43 | 14.02 |",
    ]


@pytest.mark.parametrize("page", costs.WORDS)
def test_a_new_table_takes_the_place_of_the_old_one_and_of_nothing_else(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    new = costs.table(RESULTS, costs.WORDS[page])
    renewed = costs.written(text, new)
    assert renewed != text
    assert new in renewed
    kept = set(text.splitlines()) - set(renewed.splitlines())
    assert len(kept) <= len(new.splitlines())
    assert all(line.startswith("| ") for line in kept)
    assert (
        costs.written(renewed, costs.table(json.loads(costs.RESULTS.read_text()), costs.WORDS[page])) == text
    )


def test_a_page_without_its_table_is_refused() -> None:
    with pytest.raises(ValueError, match="0 tables of costs"):
        costs.written("# flinkjobs\n", "| a |")


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


def test_what_is_counted_is_what_terraform_makes() -> None:
    module = read_module()
    for name in ("sync", "cleanup"):
        function = module.locals["functions"][name]
        assert function["memory"] == f"{int(costs.GIB * 1024)}Mi"
        assert function["cpu"] == f"{costs.VCPU:g}"
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    assert (config["available_memory"], config["available_cpu"]) == (
        "${each.value.memory}",
        "${each.value.cpu}",
    )
    assert config["min_instance_count"] == 0
    assert len(module.locals["schedules"]) == costs.SCHEDULES
    connector = module.resources["google_vpc_access_connector.this"]
    assert (connector["machine_type"], connector["min_instances"]) == ("e2-micro", costs.CONNECTOR_INSTANCES)
    assert module.variables["vpc_access"]["default"] == "direct"
    [call] = parse(MODULE / "examples" / "complete" / "main.tf")["module"]
    given = {"mongodb_uri", "mongodb_read_uri", "webhook_secrets"} & set(call["flinkjobs"])
    assert len(given) == costs.SECRETS


def test_the_memory_is_more_than_any_measured_pass_took() -> None:
    results = json.loads(costs.RESULTS.read_text(encoding="utf-8"))
    peaks = [
        case["median"]["peak_rss_mib"] for case in results["cases"] if case["who"] in {"sync", "cleanup"}
    ]
    assert max(peaks) < costs.GIB * 1024 / 2, "half of it is left for what grows beyond the benchmark"
