"""What a record may say of a world, and what it must say once the world is calm.

Written from the rules in plain words, without the code under test: its own tables, its own arithmetic.
A contradiction is one line of text; None means that the record may say so.

What really happens and leaves no evidence is excused, and only this:

- an id whose every trace (log, termination message, pod, Job) went before a pass read it: the record may
  not know of that job, if its name does not show it either;
- a second job of the record's name, where one id is known and an overview has left the second one out: the
  cluster is searched once, when the submitter has ended;
- a job that has named itself, of a container that could not write its termination message and whose log was
  rotated: its failing script looks like one that failed before it submitted;
- an id that no pass ever found at Flink looks like a forged one: where another id is confirmed it is
  dropped after the grace, and then its job counts no more;
- an id that the script printed and that no other record has: whether its job is the script's own cannot be
  known. The record that has it first keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from flinkjobs.domain.naming import fixed_flink_job_id
from flinkjobs.domain.observations import JobPhase
from tests.integration.property.simulated_world import (
    FALLBACK_LINES,
    MARK,
    STOPPED,
    SUBMITTED,
    TrueJob,
    TruePod,
    TrueSubmission,
    World,
)

FINAL = ("FINISHED", "FAILED", "CANCELLED")
GRACE = timedelta(seconds=600)
NAME_MARGIN = timedelta(seconds=60)

STATUS_OF_STATE = {
    "INITIALIZING": "CREATED",
    "CREATED": "CREATED",
    "RUNNING": "RUNNING",
    "FAILING": "RUNNING",
    "CANCELLING": "RUNNING",
    "RESTARTING": "RUNNING",
    "RECONCILING": "RUNNING",
    "SUSPENDED": "SUSPENDED",
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
    "CANCELED": "CANCELLED",
}

CODE_OF_PROBLEM = {
    "ErrImagePull": "IMAGE_PULL",
    "ImagePullBackOff": "IMAGE_PULL",
    "CreateContainerConfigError": "CONFIG",
    "Unschedulable": "UNSCHEDULABLE",
    "FailedMount": "MOUNT",
}

Document = Mapping[str, Any]


def findable_by_name(world: World, submission: TrueSubmission) -> frozenset[str] | None:
    """The ids of the Flink jobs named like the record; None: they cannot be listed."""
    cluster = world.clusters[submission.cluster]
    if not cluster.is_reachable or (cluster.has_history and not cluster.history_is_up):
        return None
    return shown_by_name(world, submission)


def shown_by_name(world: World, submission: TrueSubmission) -> frozenset[str]:
    """The ids of the Flink jobs named like the record, of those that can be asked now."""
    cluster = world.clusters[submission.cluster]
    shown = cluster.overview() if cluster.is_reachable else {}
    if cluster.has_history and cluster.history_is_up:
        shown = {**cluster.archived, **shown}
    return frozenset(
        job.id
        for job in shown.values()
        if (job.name == submission.job_id or job.id == fixed_flink_job_id(submission.job_id))
        and job.start_time is not None
        and job.start_time >= submission.submitted_at - NAME_MARGIN
    )


def contradiction(
    document: Document, submission: TrueSubmission, world: World, named: frozenset[str] | None
) -> str | None:
    """What is wrong with a record that a pass has just written.

    Args:
        document: the record.
        submission: what it is about.
        world: as it is.
        named: what `findable_by_name` said when the pass could look.
    """
    refs = document["flink_jobs"]
    return (
        _of_form(document)
        or _of_jobs(refs, submission, jobs_of(submission, world))
        or _of_times(document, jobs_of(submission, world))
        or _of_status(document, submission, world, named)
    )


def contradiction_of_moves(before: Document, after: Document) -> str | None:
    """What is wrong with the moves that were added to a record between two looks at it.

    Each is one change of the status, or one into or out of stuck, by a revision of its own. An old record
    begins without a history.
    """
    known = before.get("history", [])
    history = after.get("history", [])
    moves = history[len(known) :]
    if history[: len(known)] != known:
        return f"the history {history} does not begin with {known}"
    statuses = [before["status"], *(move["status"] for move in moves)]
    if [move["was"] for move in moves] != statuses[:-1] or statuses[-1] != after["status"]:
        return f"{moves} do not lead from {before['status']} to {after['status']}"
    if (wrong := _contradiction_of_stuck(before, after, moves)) is not None:
        return wrong
    seqs = [before.get("revision") or 0, *(move["seq"] for move in moves)]
    if seqs != sorted(set(seqs)) or seqs[-1] > (after.get("revision") or 0):
        return f"{seqs} do not increase up to revision {after.get('revision')}"
    return None


def _contradiction_of_stuck(before: Document, after: Document, moves: Sequence[Document]) -> str | None:
    """Each move changes the status, or else whether the record is stuck."""
    is_stuck = [before.get("stuck_since") is not None]
    for move in moves:
        if (move["was"] == move["status"]) != ("stuck" in move) or move.get("stuck") is is_stuck[-1]:
            return f"{move} is no move of a record that was {'' if is_stuck[-1] else 'not '}stuck"
        is_stuck.append(move.get("stuck", False))
    if is_stuck[-1] != (after.get("stuck_since") is not None):
        return f"{moves} do not lead to stuck since {after.get('stuck_since')}"
    return None


def jobs_of(submission: TrueSubmission, world: World) -> Sequence[TrueJob]:
    """The jobs that a submitter has submitted, and those of others whose ids it has printed."""
    others = [each for each in world.submissions if each is not submission]
    quoted = [job for each in others for job in each.flink_jobs if job.id in submission.quoted]
    return [*submission.flink_jobs, *quoted]


def _of_form(document: Document) -> str | None:
    ids = [ref["id"] for ref in document["flink_jobs"]]
    if document["flink_job_ids"] != ids or len(set(ids)) != len(ids):
        return f"flink_job_ids {document['flink_job_ids']} are not its jobs {ids}"
    if ids and document["flink_job_id"] not in ids:
        return f"flink_job_id {document['flink_job_id']} is none of its jobs"
    if set(ids) & set(document["dropped_ids"]):
        return "a job is both kept and dropped"
    return None


def _of_jobs(  # noqa: PLR0911 - one line for each thing that can be wrong
    refs: Sequence[Document], submission: TrueSubmission, jobs: Sequence[TrueJob]
) -> str | None:
    true_jobs = {job.id: job for job in jobs}
    for ref in refs:
        job = true_jobs.get(ref["id"])
        if not ref["confirmed"]:
            if ref["state"] is not None:
                return f"{ref['id']} has a state and is not confirmed"
        elif job is None:
            return f"{ref['id']} is confirmed, but not one of the submission's jobs"
        elif max(job.starts) < submission.submitted_at - NAME_MARGIN:
            return f"{ref['id']} began at {max(job.starts)}, before the submission"
        elif ref["state"] in ("FINISHED", "FAILED", "CANCELED"):
            if ref["state"] != job.state:
                return f"{ref['id']} is said to be {ref['state']}, but is {job.state}"
            if ref["end_time"] != job.end:
                return f"{ref['id']} ended at {job.end}, not at {ref['end_time']}"
        elif ref["end_time"] is not None:
            return f"{ref['id']} is {ref['state']} and has an end"
    return None


def _of_times(document: Document, followed: Sequence[TrueJob]) -> str | None:
    seen = {ref["id"]: ref for ref in document["flink_jobs"] if ref["state"] is not None}
    jobs = [job for job in followed if job.id in seen]
    start, end, duration = document["start_time"], document["end_time"], document["duration"]
    if start is not None and not any(start in job.starts for job in followed):
        return f"nothing began at {start}"
    if jobs and (start is None or start > min(max(job.starts) for job in jobs)):
        return f"it began at {start}, later than Flink says"
    if document["status"] in FINAL and jobs:
        latest = max(job.end for job in jobs if job.end is not None)
        if end != latest:
            return f"the end is {end}, and should be {latest}"
        if duration != round((end - start) / timedelta(seconds=1), 3):
            return f"the duration is {duration}, from {start} to {end}"
    elif end is not None or duration is not None:
        return f"{document['status']} with an end {end} or a duration {duration}"
    return None


def _of_status(  # noqa: PLR0911 - one line for each thing that can be wrong
    document: Document, submission: TrueSubmission, world: World, named: frozenset[str] | None
) -> str | None:
    status, code = document["status"], (document["reason"] or {}).get("code")
    if status in FINAL:
        if submission.can_submit_more:
            return f"{status}, but its submitter can still submit"
        if document["flink_jobs"]:
            return _of_end(document, submission, world, named)
        if status != "FAILED":
            return f"{status} without a job"
        return _of_failed_submission(code, submission, world, named)
    if status == "LOST":
        if submission.can_submit_more:
            return "LOST, but its submitter can still submit"
        refs = document["flink_jobs"]
        return "LOST, but every end is known" if refs and not open_refs(refs) else None
    if status in ("RUNNING", "SUSPENDED") and not document["flink_jobs"]:
        return f"{status} without a job"
    return None


def open_refs(refs: Sequence[Document]) -> list[Document]:
    return [ref for ref in refs if ref["state"] not in ("FINISHED", "FAILED", "CANCELED")]


def _of_end(  # noqa: PLR0911 - one line for each thing that can be wrong
    document: Document, submission: TrueSubmission, world: World, named: frozenset[str] | None
) -> str | None:
    known = [ref["id"] for ref in document["flink_jobs"]]
    unread = [
        id_ for id_ in submission.readable_ids() if id_ not in known and id_ not in document["dropped_ids"]
    ]
    if unread:
        return f"{document['status']}, but {unread} were printed and not read"
    jobs = [job for job in jobs_of(submission, world) if job.id in known]
    if len(jobs) < len(known):
        return f"{document['status']} with an id that never existed"
    still = [f"{job.id} {job.state}" for job in jobs if not job.is_over]
    if still:
        return f"{document['status']}, but {still} goes on"
    unknown = [
        job.id
        for job in submission.flink_jobs
        if not job.is_over
        and not job.was_hidden
        and job.id not in [*known, *document["dropped_ids"]]
        and job.id in (named or ())
    ]
    if unknown:
        return f"{document['status']}, but {unknown} of its name go on"
    if document["status"] != _status_of_ends([job.state for job in jobs]):
        return f"{document['status']}, but its jobs ended as {[job.state for job in jobs]}"
    code = (document["reason"] or {}).get("code")
    if code == "SUBMIT_INCOMPLETE" and document["status"] == "FINISHED":
        return None if submission.has_failed else f"{code}, but its script has not failed"
    if code != ("JOB_FAILED" if document["status"] == "FAILED" else None):
        return f"{document['status']} with the reason {code}"
    return None


def _status_of_ends(states: Sequence[str]) -> str:
    for state, status in (("FAILED", "FAILED"), ("CANCELED", "CANCELLED")):
        if state in states:
            return status
    return "FINISHED"


def _of_failed_submission(  # noqa: PLR0911 - one line for each thing that can be wrong
    code: str | None, submission: TrueSubmission, world: World, named: frozenset[str] | None
) -> str | None:
    if code == "K8S_REFUSED":
        return None if submission.refused else "it was not refused"
    if submission.readable_ids():
        return f"{code}, but it printed {submission.readable_ids()}"
    if named is None:
        return f"{code}, though its name could not be searched"
    if named:
        return f"{code}, though {named} have its name"
    if code == "K8S_JOB_MISSING":
        if submission.created_at is not None:
            return f"{code}, but it was created"
        if world.now - submission.in_flight_until <= GRACE:
            return f"{code} within the grace"
        return None
    if code not in ("NO_JOB_SUBMITTED", "SUBMIT_FAILED"):
        return f"FAILED without a job, by {code}"
    running = [job.id for job in submission.flink_jobs if not job.is_over]
    if submission.flink_jobs and not (code == "SUBMIT_FAILED" and _has_lost_lines(submission)):
        return f"{code}, but it did submit a job; {running} go on"
    return None


def _has_lost_lines(submission: TrueSubmission) -> bool:
    return submission.shape.message in ("fallback", "none") and any(pod.rotated for pod in submission.pods)


def proves_nothing_submitted(submission: TrueSubmission) -> bool | None:
    """Whether all that is left of a submitter's output proves that no job was submitted; None: who knows."""
    if not submission.pods or len(submission.pods) < submission.pods_ended:
        return False
    proofs = [_proves(pod) for pod in submission.pods]
    return False if False in proofs else None if None in proofs else True


def _proves(pod: TruePod) -> bool | None:
    if not pod.has_ended or not pod.shows_container or pod.exit_code in STOPPED:
        return False
    if pod.exit_code == 0:
        return pod.message == f"{MARK}\nend 0"
    if SUBMITTED in pod.message:
        return False
    is_in_message = len(pod.message.splitlines()) < FALLBACK_LINES and pod.lines[-1] in pod.message
    if pod.log == "kubelet":
        return None if is_in_message and pod.failure == "own" else False
    if pod.log == "there":
        visible = pod.lines[pod.rotated :]
        return pod.failure == "own" and bool(visible) and SUBMITTED not in "".join(visible)
    return pod.failure == "own" and is_in_message


# --- a calm world -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """What a record must say.

    Attributes:
        status: its status.
        code: its reason's code where that is determined; else "".
        needs_time: the rules demand that some time passes first.
    """

    status: str
    code: str = ""
    needs_time: bool = False


def expected(document: Document, submission: TrueSubmission, world: World) -> Expected | None:
    """What a record that is not final must say of a calm world; None where no rule says."""
    refs = {ref["id"]: ref for ref in document["flink_jobs"]}
    # The log of a pod that runs can wait while a job goes on.
    is_followed = any(ref["confirmed"] for ref in open_refs(document["flink_jobs"]))
    readable = submission.readable_ids(of_running=not is_followed)
    known = [*refs, *(id_ for id_ in readable if id_ not in refs)]
    known = [id_ for id_ in known if id_ not in document["dropped_ids"]]
    if not known:
        known = sorted(findable_by_name(world, submission) or ())
        if submission.can_submit_more:  # the History Server is asked once it has ended
            known = [id_ for id_ in known if id_ in world.clusters[submission.cluster].jobs]
        if not known or document["k8s_job_name"] is None:
            return _without_id(document, submission, world)
    needs_time = not refs and submission.phase is None
    found = _by_jobs(known, refs, submission, world, needs_time=needs_time)
    if found is not None and found.status == "CREATED" and document["status"] != "CREATED":
        return replace(found, status="RUNNING")  # it has been RUNNING: another JobManager takes it over
    return found


def _without_id(  # noqa: PLR0911 - one line for each thing that can be so
    document: Document, submission: TrueSubmission, world: World
) -> Expected | None:
    """By the submitter alone: no job of its name is known."""
    assert world.kubernetes == "up"
    if document["k8s_job_name"] is None:
        return Expected("CREATED", "K8S_JOB_UNKNOWN")
    if submission.phase is JobPhase.SUSPENDED:
        return Expected("CREATED", "K8S_JOB_SUSPENDED")
    if submission.can_submit_more:
        if submission.quota:
            return Expected("CREATED", "QUOTA")
        problems = [pod.problem for pod in submission.pods]
        if len(problems) != 1 or submission.pods[0].has_ended:
            return Expected("CREATED")
        return Expected("CREATED", CODE_OF_PROBLEM.get(problems[0], ""))
    if submission.created_at is None:
        return Expected("FAILED", needs_time=True)
    is_proven = proves_nothing_submitted(submission)
    if is_proven is None:
        return None
    # A LOST record stays so: its submitter is not observed any more.
    if is_proven and document["status"] != "LOST":
        return Expected("FAILED")
    return Expected("LOST", "OUTCOME_UNKNOWN", needs_time=True)


def _by_jobs(
    known: Sequence[str],
    refs: Mapping[str, Document],
    submission: TrueSubmission,
    world: World,
    *,
    needs_time: bool,
) -> Expected | None:
    """By what can be known of its jobs."""
    cluster = world.clusters[submission.cluster]
    states: list[str] = []
    missing: list[str] = []
    for id_ in known:
        ref = refs.get(id_, {})
        if ref.get("state") in ("FINISHED", "FAILED", "CANCELED"):
            states.append(ref["state"])
        elif id_ in cluster.jobs:
            states.append(cluster.jobs[id_].state)
        elif id_ in cluster.archived:
            states.append(cluster.archived[id_].state)
        else:
            missing.append(id_)
    confirmed = bool(states) or any(refs.get(id_, {}).get("confirmed") for id_ in missing)
    if confirmed and missing:
        needs_time = True
        missing = [id_ for id_ in missing if refs.get(id_, {}).get("confirmed")]
    statuses = [STATUS_OF_STATE[state] for state in states]
    live = [status for status in statuses if status not in FINAL]
    if missing and not live:
        return None if submission.can_submit_more else Expected("LOST", "OUTCOME_UNKNOWN", needs_time=True)
    if not live and not submission.can_submit_more:
        return Expected(_status_of_ends(states), needs_time=needs_time)
    for status in ("RUNNING", "SUSPENDED"):
        if status in live:
            return Expected(status, needs_time=needs_time)
    over = len(live) < len(statuses)
    return Expected("RUNNING" if over or not live else "CREATED", needs_time=needs_time)


def is_job_of(submission: TrueSubmission, flink_job_id: str) -> TrueJob | None:
    """The true job of this id."""
    return next((job for job in submission.flink_jobs if job.id == flink_job_id), None)
