"""A Kubernetes cluster in memory, as far as harvesting needs one."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Self

from flinkjobs.domain.kubernetes_objects import Event, KubernetesJob, Pod
from flinkjobs.domain.observations import Missing

Log = str | Missing | Exception


class ClusterDouble:
    """`ports.kubernetes.KubernetesClient` whose pods' logs and events are given; records the calls.

    Attributes:
        logs: by pod name the log, or what asking for it raises.
        tails: the same for the end of a log.
        asked: every question, in order: `log POD CONTAINER`, `tail POD CONTAINER`, `events NAME`,
            `all events`.
    """

    def __init__(
        self,
        logs: Mapping[str, Log] | None = None,
        *,
        tails: Mapping[str, Log] | None = None,
        events: Mapping[str, tuple[Event, ...] | Exception] | None = None,
    ) -> None:
        self.logs = logs or {}
        self.tails = tails or {}
        self.given_events = events or {}
        self.asked: list[str] = []

    def until(self, moment: float) -> Self:
        """Nothing of it takes any time."""
        assert moment > 0
        return self

    def in_namespace(self, namespace: str | None) -> Self:
        """It has one namespace."""
        assert namespace is None or namespace
        return self

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        self.asked.append(f"{'tail' if tail else 'log'} {pod} {container}")
        answer = (self.tails if tail else self.logs)[pod]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def events(self, name: str) -> tuple[Event, ...]:
        self.asked.append(f"events {name}")
        answer = self.given_events[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def all_events(self) -> Iterator[Event]:
        self.asked.append("all events")
        for answer in self.given_events.values():
            if isinstance(answer, Exception):
                raise answer
            yield from answer

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        raise _unexpected(manifest)

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        raise _unexpected(manifest)

    def job(self, name: str) -> KubernetesJob | Missing:
        raise _unexpected(name)

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        raise _unexpected(selector)

    def pods(self, selector: str) -> Iterator[Pod]:
        raise _unexpected(selector)

    def delete_job(self, name: str, uid: str) -> bool:
        raise _unexpected((name, uid))

    def ping(self) -> NoReturn:
        raise _unexpected("ping")


def _unexpected(question: object) -> AssertionError:
    return AssertionError(f"harvesting has no business asking for {question!r}")
