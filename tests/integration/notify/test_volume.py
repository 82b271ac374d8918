"""Five thousand jobs that share one fate are a few events of their cluster, and one digest."""

from __future__ import annotations

import pytest

from bench.worlds import flink_job_id
from tests.integration.notify.conftest import Stage, running
from tests.support.receivers import MemoryChannel

COUNT = 5_000


@pytest.mark.timeout(300)  # seventeen passes over five thousand records
def test_a_cluster_that_goes_is_two_events_and_one_restarted_without_its_jobs_is_one_digest(
    stage: Stage,
) -> None:
    hook, chat = MemoryChannel("hook"), MemoryChannel("chat", digest_above=10)
    stage.channels = [hook, chat]
    stage.jobs.insert_many([running(number) for number in range(COUNT)])
    known = {flink_job_id(number): "RUNNING" for number in range(COUNT)}
    stage.states = known
    assert stage.run_pass()["unchanged"] == COUNT
    stage.states = None
    for _ in range(10):
        stage.run_pass()
    stage.states = known
    stage.run_pass()
    assert hook.types == chat.types == ["cluster.unreachable", "cluster.reachable"]
    hook.sent.clear()
    chat.sent.clear()

    stage.states = {}  # restarted without high availability
    stage.run_pass()
    assert hook.types == chat.types == ["cluster.jobs_missing"]
    [[missing]] = hook.sent
    assert missing.move["jobs"] == COUNT
    for _ in range(3):
        stage.run_pass()
    assert hook.types == chat.types == ["cluster.jobs_missing"]
    report = stage.run_pass()
    assert report["changed"] == {"LOST": COUNT}
    assert hook.types[1:] == ["job.lost"] * COUNT
    assert [len(events) for events in hook.sent] == [1] * (COUNT + 1)
    assert [len(events) for events in chat.sent] == [1, COUNT]
    expected = {"delivered": COUNT, "failed": 0, "waiting": 0, "set_aside": 0}
    assert report["notified"] == {"hook": expected, "chat": expected}
    assert stage.marks() == {}
    stage.run_pass()
    assert (len(hook.sent), len(chat.sent)) == (COUNT + 1, 2)
