"""What can be made to go wrong, and the book of what currently does.

The structs are also the wire format of the control endpoint, and what `control.ControlClient` takes.
"""

import asyncio
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from doubles.kubernetes.objects import Obj

RequestEffect = Literal[
    "status", "delay", "drop", "cut", "malformed", "log-gone-404", "log-gone-200", "log-kubelet-away"
]
PodEffect = Literal[
    "image-pull",
    "unschedulable",
    "config-error",
    "quota",
    "evict",
    "oom",
    "node-lost",
    "run-twice",
]


class RequestFault(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="request"
):
    """A fault of the API server: which requests it hits, and what they get.

    Every condition given must hold; without any, all requests of the API are hit. The control endpoint
    never is.
    """

    effect: RequestEffect
    """`status`: that HTTP status as a Status object, the request is not carried out; `delay`: carried out at
    once and answered after `seconds`, even if the client has given up by then; `drop`: the connection closes
    without an answer, nothing is carried out; `cut`: carried out, and the connection closes in the middle of
    the answer; `malformed`: not carried out, a 200 whose body is not JSON; `log-gone-404` and `log-gone-200`:
    a pod's log is missing, in the API server's or in the kubelet's way; `log-kubelet-away`: the API server
    cannot connect to the kubelet that has the log."""
    status: int = 500
    """For `status`: 401, 403, 409, 410, 429, 500 or 503; others are sent just so. A 410 hits continued lists
    only."""
    retry_after: int | None = None
    """Seconds in the Retry-After header that is sent with the status."""
    seconds: float = 0.0
    """For `delay`."""
    method: str | None = None
    path: str | None = None
    """A regular expression searched in path and query."""
    verb: str | None = None
    """get, list, watch, create, update, patch, delete, deletecollection."""
    resource: str | None = None
    """`jobs`, `pods`, `pods/log`, …"""
    continued: bool | None = None
    """Only lists that carry a continue token (True), or only requests that carry none (False)."""
    probability: float = 1.0
    skip: int = 0
    """Number of matching requests that pass before the first hit."""
    times: int | None = None
    """Number of hits after which the fault is over; None: never."""


class PodFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="pod"):
    """A fault of the cluster below the API: it hits the pods of matching Jobs."""

    effect: PodEffect
    """`image-pull`, `unschedulable`, `config-error`: the pod waits with that cause until the fault is
    removed; `quota`: no pod is created at all; `evict`, `oom`, `node-lost`: the running pod ends so,
    `after_seconds` after it was hit; `run-twice`: the Job gets a second pod, whatever its backoffLimit."""
    job: str | None = None
    """A regular expression that must match the whole name of the Job (of the pod, where it has none)."""
    labels: dict[str, str] = {}
    """Labels the pod's template must carry."""
    after_seconds: float = 0.0
    times: int | None = None
    """How many pods are hit at most (Jobs, for `quota` and `run-twice`)."""


Fault = RequestFault | PodFault


class FinishedJobs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Finished Jobs with their pods, put into the store at once.

    In `name`, `labels`, `annotations`, `message` and `log` these stand for each Job's own: `{index}` (0, 1,
    …), `{name}` (the Job's name) and `{hex}` (32 hexadecimal digits that differ from Job to Job and are the
    same in every run: the MD5 of the name).
    """

    count: int
    name: str = "finished-{index}"
    namespace: str | None = None
    """The double's own when None."""
    labels: dict[str, str] = msgspec.field(default_factory=lambda: {"app": "flink-python-job"})
    """Of the Jobs and of their pods."""
    annotations: dict[str, str] = {}
    """Of the Jobs."""
    age_seconds: float = 172_800.0
    """How long ago they finished."""
    failed: bool = False
    message: str = ""
    """The container's termination message."""
    log: str = ""
    with_pods: bool = True
    events: int = 0
    """Number of events about each Job."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How pods end where nothing is run (`--no-run`).

    The placeholders of `FinishedJobs` hold here too, without `{index}`; `{name}` is the Job's name, or the
    pod's where it has no Job.
    """

    exit_code: int = 0
    seconds: float = 0.0
    message: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What a request fault can be matched against."""

    method: str
    path: str
    verb: str
    resource: str
    continued: bool


@dataclass(slots=True)
class _Entry:
    fault: Fault
    hits: int = 0
    seen: int = 0
    claims: set[str] = field(default_factory=set)

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times


class FaultBook:
    """The faults switched on, in the order they came."""

    def __init__(self, source: random.Random) -> None:
        """Args: where chance comes from."""
        self._source = source
        self._entries: dict[int, _Entry] = {}
        self._last_number = 0
        self._changed = asyncio.Event()

    def add(self, fault: Fault) -> int:
        """Switch a fault on; returns its number."""
        self._last_number += 1
        self._entries[self._last_number] = _Entry(fault)
        self._announce()
        return self._last_number

    def remove(self, number: int) -> bool:
        """Switch a fault off; false when there is none of that number."""
        removed = self._entries.pop(number, None)
        self._announce()
        return removed is not None

    def clear(self) -> None:
        """Switch everything off."""
        self._entries.clear()
        self._announce()

    def entries(self) -> list[tuple[int, Fault, int]]:
        """Every fault with its number and how often it has hit."""
        return [(number, entry.fault, entry.hits) for number, entry in self._entries.items()]

    async def wait_for_change(self, timeout_seconds: float) -> None:
        """Return when a fault is switched on or off, or when the time is over."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_seconds)
        except TimeoutError:
            return

    def for_request(self, request: Request) -> list[RequestFault]:
        """The faults that hit this request; each counts as a hit."""
        found = []
        for entry in self._entries.values():
            if not isinstance(entry.fault, RequestFault) or entry.spent or not _hits(entry.fault, request):
                continue
            entry.seen += 1
            if entry.seen > entry.fault.skip and self._source.random() < entry.fault.probability:
                entry.hits += 1
                found.append(entry.fault)
        return found

    def for_pod(
        self, effects: Iterable[PodEffect], *, uid: str, name: str, labels: dict[str, str]
    ) -> PodFault | None:
        """The fault of one of these effects that holds this pod (or Job), if any.

        A pod hit once stays hit while the fault is on, and counts once.
        """
        for entry in self._entries.values():
            fault = entry.fault
            if not isinstance(fault, PodFault) or fault.effect not in effects:
                continue
            if uid in entry.claims:
                return fault
            if not entry.spent and _concerns(fault, name, labels):
                entry.claims.add(uid)
                entry.hits += 1
                return fault
        return None

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _hits(fault: RequestFault, request: Request) -> bool:
    continued = fault.continued
    if continued is None and fault.effect == "status" and fault.status == 410:  # noqa: PLR2004 Gone
        continued = True
    if fault.effect.startswith("log-") and request.resource != "pods/log":
        return False
    return (
        fault.method in (None, request.method)
        and fault.verb in (None, request.verb)
        and fault.resource in (None, request.resource)
        and continued in (None, request.continued)
        and (fault.path is None or re.search(fault.path, request.path) is not None)
    )


def _concerns(fault: PodFault, name: str, labels: dict[str, str]) -> bool:
    if fault.job is not None and not re.fullmatch(fault.job, name):
        return False
    return all(labels.get(key) == value for key, value in fault.labels.items())


def job_name_of(pod: Obj) -> str:
    """The name a pod fault is matched against."""
    labels = pod["metadata"].get("labels", {})
    name: str = labels.get("batch.kubernetes.io/job-name", pod["metadata"].get("name", ""))
    return name
