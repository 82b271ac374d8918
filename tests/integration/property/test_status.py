"""No random history makes a record wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from local.mongodb import MongoServer
from tests.integration.property.bench import Bench
from tests.integration.property.machine import StatusMachine

EXAMPLES = 60
STEPS_PER_EXAMPLE = 40


@pytest.fixture
def bench(mongo_server: MongoServer) -> Iterator[Bench]:
    bench = Bench(mongo_server.uri, f"property_{uuid.uuid4().hex[:12]}")
    yield bench
    bench.close()


@pytest.mark.timeout(900)  # one test, and more than two thousand passes
def test_no_history_makes_a_record_wrong(bench: Bench) -> None:
    run_state_machine_as_test(
        StatusMachine.on(bench),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_PER_EXAMPLE,
            derandomize=True,  # the same histories in every run; `soak` draws fresh ones
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),  # a step is a pass against a real database
            print_blob=False,
        ),
    )

    assert bench.tally["steps"] >= 2000
