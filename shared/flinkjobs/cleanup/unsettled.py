"""Reads the submitter's output of targets whose records are not settled, before they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flinkjobs.cleanup.context import Run
from flinkjobs.cleanup.listing import read_records_again
from flinkjobs.cleanup.logs import keep_logs
from flinkjobs.cleanup.progress import Progress, kept, postponed
from flinkjobs.cleanup.retention import Kept, Next, judge, settled
from flinkjobs.cleanup.work_queue import Candidate
from flinkjobs.domain.observations import KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE
from flinkjobs.sync.service import reconcile_records

_NOT_READ: Final = (KUBERNETES_UNAVAILABLE, LOG_UNREACHABLE)
"""Error codes after which the log may still hold an id: the target is kept."""


def read_output(run: Run, candidates: Sequence[Candidate], *, budget_seconds: float) -> Progress:
    """Reads the output of unsettled candidates as a sync pass does.

    Returns:
        As `ready`, the candidates that may be deleted: their records are settled now, or they are too old
        to wait any longer and the end of their log is saved.

    Raises:
        StoreUnavailableError: the records could not be read or written.
        StoreRefusedError: the store refused a record.
    """
    sync = replace(run.cleanup.sync, budget_seconds=budget_seconds)
    job_ids = list(dict.fromkeys(candidate.target.job_id for candidate in candidates))
    read = reconcile_records(sync, job_ids, run_id=run.run_id, write=not run.dry_run)
    if run.dry_run:
        expected = [settled(record) for record in read.records]
        candidates = [
            replace(each, expected=[record for record in expected if record.job_id == each.target.job_id])
            for each in candidates
        ]
    not_read = {error["job_id"] for error in read.errors if error["code"] in _NOT_READ}
    current, changed = read_records_again(run.cleanup.store, candidates)
    done = Progress(errors=read.errors)
    for candidate in changed:
        done += kept(candidate, Kept.CHANGED)
    hopeless = []
    for candidate, record in current:
        job_id = candidate.target.job_id
        verdict = judge(candidate.target, record, run.now, run.cleanup.policy)
        if verdict is Next.DELETE:
            done += Progress(ready=(candidate,), settled_by_output=1)
        elif isinstance(verdict, Kept):
            done += kept(candidate, verdict)
        elif job_id in read.passed_over:
            done += postponed((candidate,))
        elif verdict is Next.READ_OUTPUT or {job_id, None} & not_read:
            done += kept(candidate, Kept.UNSETTLED)
        elif job_id in read.conflicts:  # what was read is not on the record
            done += kept(candidate, Kept.CHANGED)
        else:
            hopeless.append(replace(candidate, is_given_up=True))
    return done + keep_logs(run, hopeless)
