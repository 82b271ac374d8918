"""A world for the property test: what is really so, as plain data, and what may happen to it.

Nothing here knows the records. The doubles in `peers.py` show this world to a pass, and `oracle.py` says
which records would contradict it. The mutable dataclasses are the truth; `World.happen` is the only way in
which it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from flinkjobs.domain.kubernetes_objects import Container, Event, KubernetesJob, Pod, Terminated, Waiting
from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import FlinkJob, JobPhase

BEGIN = datetime(2026, 3, 1, 9, 0, 0, tzinfo=UTC)
JOB_STORE_KEEPS = timedelta(hours=1)
"""`jobstore.expiration-time` of Flink, by default."""
CREATED_WITHIN = timedelta(seconds=300)
"""A Kubernetes Job that comes after its record comes within this time, far below the grace of a pass."""
FALLBACK_LINES = 80
"""Lines that Kubernetes keeps of a failed container's log where its termination message is empty."""
SUBMITTED = "Job has been submitted with JobID "
MARK = "flinkjobs/1"
"""First line of the termination message of our submitter."""
KUBELET_LOG = 'failed to open log file "/var/log/pods/submit/0.log": open: no such file or directory'
"""What the kubelet answers instead of a log, with status 200."""
KUBELET_MESSAGE = "The container could not be located when the pod was terminated"
"""What the kubelet writes as the termination message of a container that it has lost."""
STOPPED = (124, 137, 143)
"""Exit codes of a submitter that was stopped from outside."""
LOST_CONNECTIONS = (
    "Caused by: java.util.concurrent.TimeoutException",
    "Caused by: java.io.IOException: Connection reset by peer",
    "Caused by: org.apache.flink.runtime.client.DuplicateJobSubmissionException: Already submitted",
)
"""What the CLI prints when the JobManager has accepted a job and the answer did not arrive."""

NEXT_STATES = {
    "INITIALIZING": ("CREATED", "RUNNING", "SUSPENDED", "FAILED"),
    "CREATED": ("RUNNING", "CANCELLING", "FAILING", "SUSPENDED"),
    "RUNNING": ("FINISHED", "FAILING", "CANCELLING", "RESTARTING", "SUSPENDED", "HIBERNATING"),
    "RESTARTING": ("CREATED", "RUNNING", "FAILING", "CANCELLING"),
    "FAILING": ("FAILED", "RESTARTING"),
    "CANCELLING": ("CANCELED", "FAILING"),
    "SUSPENDED": ("RECONCILING", "INITIALIZING"),
    "RECONCILING": ("RUNNING",),
    "HIBERNATING": ("RUNNING",),
}
"""Which state of a Flink job may follow which. HIBERNATING is a word that no Flink has said so far."""
ENDS = ("FINISHED", "FAILED", "CANCELED")


class Act(StrEnum):
    """What a submitter's script does next."""

    SUBMIT = "submit"
    """Submits a Flink job; the CLI prints its id."""
    WAIT = "wait"
    """Blocks until the last job that it submitted is over; a job that did not finish is an error."""
    FORGE = "forge"
    """Prints the CLI's line with an id that never existed."""
    QUOTE = "quote"
    """Prints the CLI's line with the id of another record's job, if there is one."""
    TIME_OUT = "time out"
    """Submits a Flink job, and fails without an id: the answer does not arrive."""
    CHATTER = "chatter"
    """Prints more lines than a termination message can fall back to."""
    RAISE = "raise"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is submitted.

    Attributes:
        acts: the script.
        names_itself: the script gives its jobs a name of its own, so that they are not found by name.
        message: what the container writes as its termination message: marked (our submitter), plain (ids
            without the mark: an earlier version of it), fallback (it cannot write: the end of the log stands
            there where it fails), none (the old platform, which has failed pods replaced, too).
        creation: whether its Kubernetes Job comes with the record, later, or never.
        sidecar: what runs in its pod as well: nothing, or a container that ends after it, that stays, or that
            is native (an init container that is stopped after it).
        exactly_once: its only job has a fixed id.
    """

    acts: tuple[Act, ...]
    names_itself: bool = False
    message: str = "marked"
    creation: str = "at once"
    sidecar: str = ""
    exactly_once: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it was not submitted by the old platform."""
        return self.message != "none"


@dataclass(slots=True)
class TrueJob:
    """A Flink job as it really is.

    Attributes:
        start: as Flink names it now; it is a later one after a failover.
        vanished: its JobManager went, and it with it: its end will stay unknown.
        was_hidden: an overview of its cluster left it out while it was there.
        before: how it looked before its last change, for answers out of a cache.
    """

    id: str
    name: str
    state: str
    start: datetime
    end: datetime | None = None
    failure: str | None = None
    vanished: bool = False
    was_hidden: bool = False
    starts: set[datetime] = field(default_factory=set)
    before: FlinkJob | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ENDS

    def shown(self) -> FlinkJob:
        """As Flink describes it."""
        return FlinkJob(
            id=self.id, name=self.name, state=self.state, start_time=self.start, end_time=self.end
        )


@dataclass(slots=True)
class TrueCluster:
    """A Flink cluster and its History Server.

    Attributes:
        skew: how far its clock is from ours.
        jobs: what its JobManager knows.
        archived: what its History Server shows.
        arriving: archived, but not shown yet.
        mode: up, refused, 5xx, malformed, elsewhere (its address leads to an empty cluster), cached
            (its answers show how jobs were before their last change), halting (it lists no job, and
            fails when it is asked about one).
    """

    name: str
    has_history: bool
    skew: timedelta
    jobs: dict[str, TrueJob] = field(default_factory=dict)
    archived: dict[str, FlinkJob] = field(default_factory=dict)
    arriving: dict[str, FlinkJob] = field(default_factory=dict)
    mode: str = "up"
    history_is_up: bool = True

    @property
    def is_reachable(self) -> bool:
        return self.mode in ("up", "elsewhere", "cached", "halting")

    def overview(self) -> dict[str, FlinkJob]:
        """What its address answers about all jobs."""
        if self.mode in ("elsewhere", "halting"):
            for job in self.jobs.values():
                job.was_hidden = True
            return {}
        return {job.id: self.shown(job) for job in self.jobs.values()}

    def shown(self, job: TrueJob) -> FlinkJob:
        """What its address answers about one job that it knows."""
        return job.before if self.mode == "cached" and job.before is not None else job.shown()


@dataclass(slots=True)
class TruePod:
    """A submitter's pod.

    Attributes:
        acts: what its script will still do.
        problem: why it does not start; "" when it can.
        log: there, gone, refused (the API server does not hand it out now), or kubelet (the kubelet's own
            words stand in its place).
        rotated: how many lines of the log are not served any more.
        has_ended: the submitter's container has ended; a sidecar may go on.
        message: the termination message.
        failure: how the script failed: "" (it did not, or was stopped), own (nothing was submitted by the
            failing call), unsure (the failing call may have submitted a job).
        shows_container: an evicted pod may have no container statuses.
    """

    name: str
    created_at: datetime
    acts: list[Act]
    phase: str = "Pending"
    problem: str = ""
    lines: list[str] = field(default_factory=list)
    log: str = "there"
    rotated: int = 0
    has_ended: bool = False
    exit_code: int = 0
    message: str = ""
    failure: str = ""
    ended: str = ""
    reason: str = ""
    shows_container: bool = True
    last_job: TrueJob | None = None

    @property
    def is_over(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def log_text(self) -> str:
        """What its log shows, where it is handed out."""
        return KUBELET_LOG if self.log == "kubelet" else "\n".join(self.lines[self.rotated :])


@dataclass(slots=True)
class TrueSubmission:
    """One record's submitter and all that it has submitted.

    Attributes:
        phase: of its Kubernetes Job; None while, or since, there is none.
        is_accepted: the record says that its Kubernetes Job was created.
        has_failed: its script has failed by itself.
        pods_made, pods_ended: how many pods it ever had, and how many of them are over.
        in_flight_until: until then the caller may still create its Kubernetes Job.
        flink_jobs: every Flink job that it really submitted, in their order.
        quoted: ids of other records' jobs that it has printed.
    """

    job_id: str
    k8s_job_name: str
    cluster: str
    shape: Shape
    submitted_at: datetime
    in_flight_until: datetime
    phase: JobPhase | None = None
    ended: str | None = None
    quota: bool = False
    created_at: datetime | None = None
    is_accepted: bool = False
    to_be_created: bool = False
    refused: bool = False
    has_failed: bool = False
    pods_made: int = 0
    pods_ended: int = 0
    pods: list[TruePod] = field(default_factory=list)
    flink_jobs: list[TrueJob] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)

    def message_of(self, pod: TruePod, *, is_killed: bool) -> str:
        """The termination message of a container that ends now."""
        if self.shape.message == "none":
            return ""
        own = [line for line in pod.lines if line.startswith(SUBMITTED)]
        if self.shape.message != "fallback":
            if self.shape.message == "marked" and not is_killed and (own or pod.exit_code == 0):
                return "\n".join((MARK, *own, f"end {len(own)}"))
            if own or pod.exit_code == 0:
                return "\n".join(own)
        if pod.exit_code == 0:
            return ""
        return "\n".join(pod.log_text.splitlines()[-FALLBACK_LINES:])

    def readable_ids(self, *, of_running: bool = True) -> list[str]:
        """Every id that its output still shows.

        Args:
            of_running: whether pods count that have not ended.
        """
        texts: list[str] = []
        for pod in self.pods:
            if not (of_running or pod.has_ended):
                continue
            if pod.has_ended and pod.shows_container:
                texts += pod.message.splitlines()
            if pod.log != "gone":
                texts += pod.log_text.splitlines()
        return list(dict.fromkeys(text[len(SUBMITTED) :] for text in texts if text.startswith(SUBMITTED)))

    @property
    def can_submit_more(self) -> bool:
        """Whether a pod runs or may still start."""
        if self.to_be_created or self.phase is JobPhase.SUSPENDED:
            return True
        if any(not pod.has_ended for pod in self.pods):
            return True
        if self.phase is not JobPhase.ACTIVE:
            return False
        return not self.pods or (not self.shape.is_ours and self.pods[-1].exit_code != 0)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event: what happens, to which (an index into what there is), and how (an index, too)."""

    what: str
    which: int = 0
    how: int = 0


MODES = ("refused", "5xx", "malformed", "elsewhere", "cached", "halting")
"""What may be wrong with the address of a cluster: see `TrueCluster`."""
LOSSES = ("nothing", "log", "log refused", "log rotated", "kubelet", "pod", "job")
"""What goes of a submitter's output: its log (or it is not handed out, or only its end is there, or the
kubelet answers in its place), its pod, its Job (long ago)."""
KUBERNETES_FAILURES = ("refused", "breaks off", "pods expire", "unauthorized", "unauthorized later")
"""What may be wrong with the API server: it refuses connections, breaks off or expires a list, or the
credentials have expired, for every request or for all but the lists."""
PROBLEMS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "Unschedulable",
    "FailedMount",
    "quota",
    "suspended",
)
STEPS = (1.25, 20, 61, 180, 601, 3601)
"""Seconds by which time moves on."""


class World:
    """All of it. Deterministic: the same happenings lead to the same world."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.version = 0
        self.kubernetes = "up"
        self.events = "up"
        self.submissions: list[TrueSubmission] = []
        self.clusters = {
            "default": TrueCluster("default", has_history=False, skew=timedelta(0)),
            "archived": TrueCluster("archived", has_history=True, skew=timedelta(seconds=-50)),
        }
        self._serial = 0
        self._happenings: dict[str, Callable[[int, int], None]] = {
            "all goes well": self._all_goes_well,
            "pod works": self._pod_works,
            "pod works on": self._pod_works_on,
            "pod cannot start": self._pod_cannot_start,
            "pod can start": self._pod_can_start,
            "pod is killed": self._pod_is_killed,
            "pod is deleted": self._pod_is_deleted,
            "pod starts twice": self._pod_starts_twice,
            "log vanishes": self._log_vanishes,
            "log is refused": self._log_is_refused,
            "log rotates": self._log_rotates,
            "kubelet answers": self._kubelet_answers,
            "events are refused": self._events_are_refused,
            "job is created": self._job_is_created,
            "job settles": self._job_settles,
            "job is deleted": self._job_is_deleted,
            "job hits its deadline": self._job_hits_its_deadline,
            "flink moves": self._flink_moves,
            "flink ends": self._flink_ends,
            "cluster mode": self._cluster_mode,
            "cluster is up": self._cluster_is_up,
            "cluster restarts": self._cluster_restarts,
            "cluster ends its jobs and restarts": self._cluster_ends_its_jobs_and_restarts,
            "cluster fails over": self._cluster_fails_over,
            "history goes": self._history_goes,
            "history is back": self._history_is_back,
            "kubernetes fails": self._kubernetes_fails,
            "kubernetes is up": self._kubernetes_is_up,
            "time passes": self._time_passes,
        }

    # --- what happens -------------------------------------------------------------------------------

    @property
    def kinds(self) -> tuple[str, ...]:
        """Everything that can happen."""
        return tuple(self._happenings)

    def happen(self, happening: Happening) -> None:
        """Lets it happen; what has nothing to happen to does not."""
        self._happenings[happening.what](happening.which, happening.how)
        self.version += 1

    def submit(self, shape: Shape, cluster: str) -> TrueSubmission:
        """A record's submission; its Kubernetes Job is created as the shape says."""
        self._serial += 1
        submission = TrueSubmission(
            job_id=f"etl_{self._serial:03}",
            k8s_job_name=f"flink-py-etl-{self._serial:03}",
            cluster=cluster,
            shape=shape,
            submitted_at=self.now,
            in_flight_until=self.now + timedelta(seconds=60),
            to_be_created=shape.creation == "later",
        )
        self.submissions.append(submission)
        if shape.creation == "at once":
            self._create(submission)
        self.version += 1
        return submission

    def adopt(self, cluster: str, state: str) -> TrueSubmission:
        """A job that was submitted by the old platform: there is no Kubernetes Job, and its end is near."""
        submission = self.submit(Shape((), creation="never"), cluster)
        self._submit_flink_job(submission, name="old")
        job = submission.flink_jobs[0]
        self._move(self.clusters[cluster], job, state)
        return submission

    def _create(self, submission: TrueSubmission) -> None:
        submission.to_be_created = False
        submission.phase = JobPhase.ACTIVE
        submission.created_at = self.now
        self._add_pod(submission)

    def _add_pod(self, submission: TrueSubmission) -> None:
        name = f"{submission.k8s_job_name}-{submission.pods_made}"
        submission.pods_made += 1
        submission.pods.append(TruePod(name, self.now, list(submission.shape.acts)))

    def _pods(self) -> Iterator[tuple[TrueSubmission, TruePod]]:
        for submission in self.submissions:
            for pod in submission.pods:
                yield submission, pod

    def _pick_pod(
        self, which: int, fits: Callable[[TrueSubmission, TruePod], bool]
    ) -> tuple[TrueSubmission, TruePod] | None:
        fitting = [(submission, pod) for submission, pod in self._pods() if fits(submission, pod)]
        return fitting[which % len(fitting)] if fitting else None

    def _pick_submission(self, which: int, fits: Callable[[TrueSubmission], bool]) -> TrueSubmission | None:
        fitting = [submission for submission in self.submissions if fits(submission)]
        return fitting[which % len(fitting)] if fitting else None

    def _pick_job(self, which: int) -> tuple[TrueCluster, TrueJob] | None:
        fitting = [
            (cluster, job)
            for cluster in self.clusters.values()
            for job in cluster.jobs.values()
            if not job.is_over
        ]
        return fitting[which % len(fitting)] if fitting else None

    def _pick_cluster(self, which: int) -> TrueCluster:
        return list(self.clusters.values())[which % len(self.clusters)]

    def _all_goes_well(self, _which: int, how: int) -> None:
        """Every pod does a step or two, every Flink job comes to run; odd ways: Jobs notice ended pods."""
        for cluster in self.clusters.values():
            for job in cluster.jobs.values():
                if job.state in ("INITIALIZING", "CREATED"):
                    self._move(cluster, job, "RUNNING")
        for submission, pod in list(self._pods()):
            for _ in range(1 + how % 3):
                self.work(submission, pod)
            if how % 2:
                self.settle(submission)

    def end_without_output(self, submission: TrueSubmission, loss: str) -> None:
        """A submitter does all it can, and then its output is lost or cannot be had now: see `LOSSES`."""
        if submission.to_be_created:
            self._create(submission)
        for pod in list(submission.pods):
            while self.work(submission, pod):
                pass
            pod.log = {"log": "gone", "log refused": "refused", "kubelet": "kubelet"}.get(loss, pod.log)
            if loss == "log rotated":
                pod.rotated = max(0, len(pod.lines) - 1)
        self.settle(submission)
        if loss == "pod" and submission.phase is not JobPhase.ACTIVE:
            submission.pods.clear()
        if loss == "job":
            submission.phase = None
            submission.pods.clear()
            self.advance(timedelta(seconds=601))
        self.version += 1

    def forget_jobs(self, cluster: str) -> None:
        """The jobs of a cluster end, and it forgets them; its History Server, if it has one, does not."""
        which = list(self.clusters).index(cluster)
        self.happen(Happening("cluster ends its jobs and restarts", which))
        self.advance(timedelta(seconds=20))

    # pods

    def _pod_works(self, which: int, _how: int) -> None:
        """The pod starts, or its script does its next act, or it ends."""
        found = self._pick_pod(which, lambda _, pod: not pod.is_over and not pod.problem)
        if found:
            self.work(*found)

    def _pod_works_on(self, which: int, how: int) -> None:
        """The pod does all it can, up to its end; odd ways: its Job is over then, too."""
        found = self._pick_pod(which, lambda _, pod: not pod.is_over and not pod.problem)
        if found:
            while self.work(*found):
                pass
            if how % 2:
                self.settle(found[0])

    def work(self, submission: TrueSubmission, pod: TruePod) -> bool:
        """One step of a pod; False when it can do nothing more."""
        if pod.is_over or pod.problem or submission.phase is JobPhase.SUSPENDED:
            return False
        if pod.phase == "Pending":
            pod.phase = "Running"
        elif pod.has_ended:
            if submission.shape.sidecar == "stays":
                return False
            self._end_pod(submission, pod)
        elif not pod.acts:
            self._end(submission, pod, 0)
        else:
            return self._act(submission, pod)
        return True

    def _act(self, submission: TrueSubmission, pod: TruePod) -> bool:
        act = pod.acts[0]
        if act is Act.WAIT and pod.last_job is not None and not pod.last_job.is_over:
            if not pod.last_job.vanished:
                return False
            self._fail(submission, pod, f"JobClient lost the job (JobID: {pod.last_job.id})", "unsure")
            return True
        pod.acts.pop(0)
        if act in (Act.SUBMIT, Act.TIME_OUT):
            self._call_flink(submission, pod, is_answered=act is Act.SUBMIT)
        elif act is Act.FORGE:
            pod.lines.append(SUBMITTED + self._new_id("forged"))
        elif act is Act.QUOTE:
            others = [
                job.id for each in self.submissions if each is not submission for job in each.flink_jobs
            ]
            submission.quoted += others[-1:]
            pod.lines += [SUBMITTED + flink_job_id for flink_job_id in others[-1:]]
        elif act is Act.CHATTER:
            pod.lines += [f"row {number}" for number in range(FALLBACK_LINES + 1)]
        elif act is Act.RAISE:
            pod.lines += ["Traceback (most recent call last):", '  File "job.py", line 1']
            self._fail(submission, pod, "ValueError: no", "own")
        elif pod.last_job is not None and pod.last_job.state != "FINISHED":
            failed = f"ProgramInvocationException: Job failed (JobID: {pod.last_job.id})"
            self._fail(submission, pod, f"org.apache.flink.client.program.{failed}", "unsure")
        return True

    def _call_flink(self, submission: TrueSubmission, pod: TruePod, *, is_answered: bool) -> None:
        """`flink run` submits a job; it fails where the JobManager is away, or its answer is lost."""
        if self.clusters[submission.cluster].mode in ("refused", "5xx", "malformed"):
            self._fail(submission, pod, "java.net.ConnectException: Connection refused", "own")
            return
        if submission.shape.exactly_once and submission.flink_jobs:
            self._fail(submission, pod, LOST_CONNECTIONS[2], "unsure")
            return
        pod.last_job = self._submit_flink_job(submission)
        if is_answered:
            pod.lines.append(SUBMITTED + pod.last_job.id)
        else:
            words = LOST_CONNECTIONS[self._serial % len(LOST_CONNECTIONS)]
            self._fail(
                submission, pod, f"ProgramInvocationException: could not be executed\n{words}", "unsure"
            )

    def _fail(self, submission: TrueSubmission, pod: TruePod, words: str, failure: str) -> None:
        pod.lines += words.splitlines()
        pod.failure = failure
        submission.has_failed = True
        self._end(submission, pod, 31)

    def _new_id(self, kind: str) -> str:
        self._serial += 1
        return hashlib.sha256(f"{kind} {self._serial}".encode()).hexdigest()[:32]

    def _submit_flink_job(self, submission: TrueSubmission, name: str | None = None) -> TrueJob:
        cluster = self.clusters[submission.cluster]
        own = "a name of its own" if submission.shape.names_itself else submission.job_id
        start = self.now + cluster.skew
        is_fixed = submission.shape.exactly_once
        flink_job_id = fixed_flink_job_id(submission.job_id) if is_fixed else self._new_id("job")
        job = TrueJob(flink_job_id, name or own, "INITIALIZING", start, starts={start})
        cluster.jobs[job.id] = job
        submission.flink_jobs.append(job)
        return job

    def _end(
        self, submission: TrueSubmission, pod: TruePod, exit_code: int, *, is_killed: bool = False
    ) -> None:
        """The submitter's container ends, and its pod, unless a sidecar keeps it."""
        pod.exit_code = exit_code
        pod.has_ended = True
        pod.acts.clear()
        pod.message = submission.message_of(pod, is_killed=is_killed)
        if is_killed or submission.shape.sidecar not in ("ends", "stays"):
            self._end_pod(submission, pod)

    @staticmethod
    def _end_pod(submission: TrueSubmission, pod: TruePod) -> None:
        submission.pods_ended += 1
        pod.phase = "Failed" if pod.exit_code else "Succeeded"

    def _pod_cannot_start(self, which: int, how: int) -> None:
        found = self._pick_pod(which, lambda _, pod: pod.phase == "Pending")
        if not found:
            return
        submission, pod = found
        problem = PROBLEMS[how % len(PROBLEMS)]
        if problem in ("quota", "suspended") and len(submission.pods) > 1:
            return
        if problem == "quota":
            submission.pods.remove(pod)
            submission.quota = True
        elif problem == "suspended":
            submission.pods.remove(pod)
            submission.phase = JobPhase.SUSPENDED
        else:
            pod.problem = problem

    def _pod_can_start(self, which: int, _how: int) -> None:
        def fits(submission: TrueSubmission) -> bool:
            return (
                submission.quota
                or submission.phase is JobPhase.SUSPENDED
                or any(pod.problem for pod in submission.pods)
            )

        submission = self._pick_submission(which, fits)
        if submission is None:
            return
        if submission.quota or submission.phase is JobPhase.SUSPENDED:
            submission.quota = False
            submission.phase = JobPhase.ACTIVE
            self._add_pod(submission)
        for pod in submission.pods:
            pod.problem = ""

    def _pod_is_killed(self, which: int, how: int) -> None:
        """Evicted (its container statuses and its log stay or go), out of memory, lost, or out of time."""
        found = self._pick_pod(which, lambda _, pod: pod.phase == "Running")
        if not found:
            return
        submission, pod = found
        if pod.has_ended:  # its sidecar has run until now
            self._end_pod(submission, pod)
            pod.phase, pod.reason = "Failed", "Evicted"
            return
        way = how % 6
        pod.ended = {3: "OOMKilled", 5: "ContainerStatusUnknown"}.get(way, "Error")
        self._end(submission, pod, {3: 137, 4: 124, 5: 137}.get(way, 143), is_killed=way != 4)
        if way < 3:
            pod.reason = "Evicted"
            pod.shows_container = way == 0
        if way in (2, 5):
            pod.log = "gone"
        if way == 5:
            pod.message = KUBELET_MESSAGE

    def _pod_is_deleted(self, which: int, _how: int) -> None:
        """Collected after its end: its output and its message are gone."""
        found = self._pick_pod(which, lambda _, pod: pod.is_over)
        if found:
            self.settle(found[0])
            found[0].pods.remove(found[1])

    def _pod_starts_twice(self, which: int, _how: int) -> None:
        """Kubernetes may start a program twice, and the old platform has it replace a failed pod."""

        def fits(submission: TrueSubmission) -> bool:
            if submission.phase is not JobPhase.ACTIVE or len(submission.pods) != 1:
                return False
            [pod] = submission.pods
            return not pod.has_ended or (not submission.shape.is_ours and pod.phase == "Failed")

        submission = self._pick_submission(which, fits)
        if submission is not None:
            self._add_pod(submission)

    def _log_vanishes(self, which: int, _how: int) -> None:
        found = self._pick_pod(which, lambda _, pod: pod.log == "there" and pod.phase != "Pending")
        if found:
            found[1].log = "gone"

    def _log_is_refused(self, which: int, _how: int) -> None:
        found = self._pick_pod(which, lambda _, pod: pod.log in ("there", "refused"))
        if found:
            found[1].log = "there" if found[1].log == "refused" else "refused"

    def _log_rotates(self, which: int, _how: int) -> None:
        """Only what is printed from now on is served."""
        found = self._pick_pod(which, lambda _, pod: bool(pod.lines))
        if found:
            found[1].rotated = len(found[1].lines)

    def _kubelet_answers(self, which: int, _how: int) -> None:
        """The log cannot be read any more, and the kubelet says so with status 200."""
        found = self._pick_pod(which, lambda _, pod: pod.log == "there" and pod.has_ended)
        if found:
            found[1].log = "kubelet"

    def _events_are_refused(self, _which: int, how: int) -> None:
        self.events = ("403", "500", "up")[how % 3]

    # Kubernetes Jobs

    def _job_is_created(self, which: int, _how: int) -> None:
        submission = self._pick_submission(which, lambda submission: submission.to_be_created)
        if submission is not None:
            self._create(submission)

    def _job_settles(self, which: int, _how: int) -> None:
        submission = self._pick_submission(which, lambda submission: submission.phase is JobPhase.ACTIVE)
        if submission is not None:
            self.settle(submission)

    @staticmethod
    def settle(submission: TrueSubmission) -> None:
        """The Job controller notices that the pods are over."""
        if submission.phase is not JobPhase.ACTIVE or not submission.pods:
            return
        if all(pod.is_over for pod in submission.pods):
            ends = [pod.phase == "Failed" for pod in submission.pods]
            failed = any(ends) if submission.shape.is_ours else all(ends)
            submission.phase = JobPhase.FAILED if failed else JobPhase.COMPLETE
            submission.ended = "BackoffLimitExceeded: too often" if failed else None

    def _job_is_deleted(self, which: int, _how: int) -> None:
        """By a person, by its ttl or by the cleanup; its pods go with it."""
        submission = self._pick_submission(which, lambda submission: submission.phase is not None)
        if submission is not None:
            submission.phase = None
            submission.quota = False
            submission.pods.clear()

    def _job_hits_its_deadline(self, which: int, _how: int) -> None:
        """Kubernetes deletes the pods of such a Job."""
        submission = self._pick_submission(which, lambda submission: submission.phase is JobPhase.ACTIVE)
        if submission is not None:
            submission.phase = JobPhase.FAILED
            submission.ended = "DeadlineExceeded: Job was active longer than specified deadline"
            submission.quota = False
            submission.pods.clear()

    # Flink

    def _move(self, cluster: TrueCluster, job: TrueJob, state: str) -> None:
        job.before = job.shown()
        job.state = state
        if state in ENDS:
            job.end = self.now + cluster.skew
            job.failure = f"RuntimeError: {job.id[:6]} broke" if state == "FAILED" else None
            if cluster.has_history:
                cluster.arriving[job.id] = job.shown()

    def _flink_moves(self, which: int, how: int) -> None:
        found = self._pick_job(which)
        if found:
            states = NEXT_STATES[found[1].state]
            self._move(*found, states[how % len(states)])

    def _flink_ends(self, which: int, how: int) -> None:
        found = self._pick_job(which)
        if found:
            self._move(*found, ENDS[how % len(ENDS)])

    def _cluster_mode(self, which: int, how: int) -> None:
        self._pick_cluster(which).mode = MODES[how % len(MODES)]

    def _cluster_is_up(self, which: int, _how: int) -> None:
        self._pick_cluster(which).mode = "up"

    def _cluster_restarts(self, which: int, _how: int) -> None:
        """Without high availability: every job is gone, and those that ran vanished with it."""
        cluster = self._pick_cluster(which)
        for job in cluster.jobs.values():
            job.vanished = not job.is_over
        cluster.jobs.clear()

    def _cluster_ends_its_jobs_and_restarts(self, which: int, how: int) -> None:
        """An orderly restart: what ran was ended first, and is archived where there is an archive."""
        cluster = self._pick_cluster(which)
        for job in cluster.jobs.values():
            if not job.is_over:
                self._move(cluster, job, ("CANCELED", "FAILED")[how % 2])
        cluster.jobs.clear()

    def _cluster_fails_over(self, which: int, _how: int) -> None:
        """With high availability: jobs begin again under their ids; those that were over are forgotten."""
        cluster = self._pick_cluster(which)
        cluster.jobs = {job.id: job for job in cluster.jobs.values() if not job.is_over}
        for job in cluster.jobs.values():
            self._move(cluster, job, "INITIALIZING")
            job.start = self.now + cluster.skew
            job.starts.add(job.start)

    def _history_goes(self, which: int, _how: int) -> None:
        self._pick_cluster(which).history_is_up = False

    def _history_is_back(self, which: int, _how: int) -> None:
        self._pick_cluster(which).history_is_up = True

    def _kubernetes_fails(self, _which: int, how: int) -> None:
        self.kubernetes = KUBERNETES_FAILURES[how % len(KUBERNETES_FAILURES)]

    def _kubernetes_is_up(self, _which: int, _how: int) -> None:
        self.kubernetes = "up"

    # time

    def _time_passes(self, _which: int, how: int) -> None:
        self.advance(timedelta(seconds=STEPS[how % len(STEPS)]))

    def advance(self, by: timedelta) -> None:
        """Time passes: Jobs that were still to come are created, archives arrive, job stores forget."""
        for submission in self.submissions:
            if submission.to_be_created and self.now + by - submission.submitted_at > CREATED_WITHIN:
                self._create(submission)
        self.now += by
        for cluster in self.clusters.values():
            if by >= timedelta(seconds=10):
                cluster.archived |= cluster.arriving
                cluster.arriving.clear()
            cluster.jobs = {
                job.id: job
                for job in cluster.jobs.values()
                if job.end is None or self.now + cluster.skew - job.end < JOB_STORE_KEEPS
            }

    # --- calm ---------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """Every peer answers, every pod that can work has worked, every Job has noticed."""
        self.kubernetes = self.events = "up"
        for cluster in self.clusters.values():
            cluster.mode = "up"
            cluster.history_is_up = True
            for job in cluster.jobs.values():
                if job.state == "HIBERNATING":
                    self._move(cluster, job, "RUNNING")
        for submission in self.submissions:
            if submission.to_be_created:
                self._create(submission)
            for pod in submission.pods:
                pod.log = "there" if pod.log == "refused" else pod.log
                while self.work(submission, pod):
                    pass
            self.settle(submission)
        self.advance(timedelta(seconds=61))
        self.version += 1

    # --- how Kubernetes shows it --------------------------------------------------------------------

    def job_shown(self, submission: TrueSubmission) -> KubernetesJob | None:
        """A submission's Job, as the API server shows it; None when there is none."""
        if submission.phase is None:
            return None
        is_over = submission.phase in (JobPhase.COMPLETE, JobPhase.FAILED)
        return KubernetesJob(
            name=submission.k8s_job_name,
            uid=submission.k8s_job_name,
            job_id=submission.job_id if submission.shape.is_ours else "",
            phase=submission.phase,
            created_at=submission.created_at,
            ended=submission.ended,
            finished_at=self.now if is_over else None,
            is_single_attempt=submission.shape.is_ours,
        )

    def pods_shown(self, submission: TrueSubmission) -> list[Pod]:
        """A submission's pods, as the API server shows them."""
        return [self._pod_shown(submission, pod) for pod in submission.pods]

    @staticmethod
    def _pod_shown(submission: TrueSubmission, pod: TruePod) -> Pod:
        state: Waiting | Terminated | None = None
        unschedulable = None
        if pod.has_ended:
            state = Terminated(pod.exit_code, pod.ended, pod.message)
        elif pod.phase == "Pending":
            state = Waiting("ContainerCreating", "")
            if pod.problem == "Unschedulable":
                unschedulable = "Unschedulable: 0/3 nodes are available"
            elif pod.problem not in ("", "FailedMount"):
                state = Waiting(pod.problem, "it is waiting")
        containers = (Container("submit", state), *_sidecar_shown(submission, pod))
        if not pod.shows_container or unschedulable is not None:
            containers = ()
        return Pod(
            name=pod.name,
            uid=pod.name,
            job_name=submission.k8s_job_name,
            created_at=pod.created_at,
            phase=pod.phase,
            reason=pod.reason,
            unschedulable=unschedulable,
            containers=containers,
        )

    def events_shown(self) -> Iterator[Event]:
        """The events of the namespace."""
        for _, pod in self._pods():
            if pod.problem == "FailedMount":
                yield Event("Pod", pod.name, "FailedMount", "no such ConfigMap", self.now)
        for submission in self.submissions:
            if submission.quota:
                yield Event("Job", submission.k8s_job_name, "FailedCreate", "exceeded quota", self.now)

    def pod_named(self, name: str) -> TruePod | None:
        """The pod of this name."""
        return next((pod for _, pod in self._pods() if pod.name == name), None)


def _sidecar_shown(submission: TrueSubmission, pod: TruePod) -> tuple[Container, ...]:
    if not submission.shape.sidecar:
        return ()
    is_native = submission.shape.sidecar == "native"
    state: Waiting | Terminated | None = Waiting("PodInitializing", "") if pod.phase == "Pending" else None
    if pod.is_over:
        state = Terminated(137 if is_native else 0, "Error" if is_native else "Completed", "")
    return (Container("proxy", state, is_init=is_native, is_sidecar=is_native),)
