"""The events of a namespace: listed once for all callers, and an error is a value."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flinkjobs.domain.errors import KubernetesRefusedError, KubernetesUnavailableError
from flinkjobs.domain.kubernetes_objects import Event
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, ObservationError, Unreachable
from flinkjobs.observers.events import NamespaceEvents
from tests.support.kubernetes_in_memory import ClusterDouble
from tests.support.kubernetes_objects import NOON

MOUNT = Event("Pod", "pod-1", "FailedMount", "no such ConfigMap", NOON)
PULLING = Event("Pod", "pod-1", "Pulling", "pulling", NOON)
QUOTA = Event("Job", "job-2", "FailedCreate", "exceeded quota", NOON)
OTHER_REASON = Event("Pod", "pod-1", "TriggeredScaleUp", "one more node", NOON)
OTHER_KIND = Event("PersistentVolumeClaim", "pod-1", "FailedMount", "no", NOON)


def test_events_are_listed_at_the_first_question_and_once() -> None:
    cluster = ClusterDouble(events={"": (MOUNT, OTHER_REASON, QUOTA, OTHER_KIND, PULLING)})
    events = NamespaceEvents(lambda: cluster)
    assert cluster.asked == []
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(events.of, ["pod-1", "job-2", "pod-3"] * 8))
    assert answers == [[MOUNT, PULLING], [QUOTA], ()] * 8
    assert cluster.asked == ["all events"]
    assert events.errors() == ()


@pytest.mark.parametrize(
    "error",
    [KubernetesUnavailableError("timed out"), KubernetesRefusedError("no", reason="Forbidden", status=403)],
    ids=["unavailable", "forbidden"],
)
def test_an_error_is_kept_and_said_once(error: Exception) -> None:
    cluster = ClusterDouble(events={"": error})
    events = NamespaceEvents(lambda: cluster)
    assert events.errors() == ()
    assert [events.of("pod-1"), events.of("job-2")] == [Unreachable(str(error))] * 2
    assert cluster.asked == ["all events"]
    assert events.errors() == (ObservationError(None, KUBERNETES_UNAVAILABLE, str(error)),)
