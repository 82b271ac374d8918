"""The primary of a replica set is killed under the functions: nothing that was acknowledged is lost."""

from __future__ import annotations

import pytest

from doubles.kubernetes.process import KubernetesDouble
from tests.integration.failover.storm import rage
from tests.support.replica_set import ReplicaSet

KILLS = 1
"""`python -m tests.integration.failover.storm --kills 10` goes on for longer."""


@pytest.mark.timeout(300)
def test_no_acknowledged_submission_is_lost_and_no_status_wrong_when_the_primary_is_killed(
    kubernetes_double: KubernetesDouble,
) -> None:
    with ReplicaSet() as replica_set:
        seen = rage(replica_set, kubernetes_double, kills=KILLS)
    assert len(seen.acknowledged) > 2 * KILLS
    assert sum(seen.hit.values()) > 0, "no function was at work when the primary was killed"
