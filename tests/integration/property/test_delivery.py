"""No random history loses an event, invents one, or sends one out of order."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from local.mongodb import MongoServer
from tests.integration.property.bench import Bench
from tests.integration.property.notify_machine import NotifyMachine

EXAMPLES = 30
STEPS_PER_EXAMPLE = 30


@pytest.fixture
def bench(mongo_server: MongoServer) -> Iterator[Bench]:
    bench = Bench(mongo_server.uri, f"property_{uuid.uuid4().hex[:12]}")
    yield bench
    bench.close()


@pytest.mark.timeout(900)  # one test, and more than a thousand passes
def test_every_move_is_delivered_in_order_and_nothing_else_is(bench: Bench) -> None:
    run_state_machine_as_test(
        NotifyMachine.on(bench),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS_PER_EXAMPLE,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),  # a step is a pass against a real database
            print_blob=False,
        ),
    )

    assert bench.tally["events"] >= 1000
