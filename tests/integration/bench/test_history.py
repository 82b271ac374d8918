"""The benchmark of a history, at a size that is quick: what each request examines is bounded."""

from __future__ import annotations

from bench import history
from local.mongodb import MongoServer


def test_requests_examine_a_bounded_number_of_keys_and_documents(mongo_server: MongoServer) -> None:
    measured = history.measure(mongo_server, 1_500, runs=1, inserts=100)
    assert [check for check in history.checks([measured]) if not check.holds] == []
    assert measured.costs["details"].documents == 1
    assert measured.costs["search, no hit"].documents == 0
    assert history.as_json([measured])[0]["records"] == 1_500
