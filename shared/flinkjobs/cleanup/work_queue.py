"""Deletion order: the oldest first, resuming where the last run stopped. Pure.

A candidate may stay: an admission webhook refuses the deletion, or its log cannot be read. If every run began
with the oldest, enough of these would keep a limited run from ever reaching a younger one. So a run that
leaves one behind and does not reach another stores its position. The next run starts after this position,
and continues with the oldest once it has reached the youngest.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, TypeAlias

from flinkjobs.domain.kubernetes_objects import CleanupTarget
from flinkjobs.ports.store import Settled

Age: TypeAlias = tuple[datetime, str, str]
"""When a target ended, its name and its uid: the smaller, the older."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that may be deleted.

    Attributes:
        has_record: it had a record when it was listed.
        is_given_up: its record cannot be settled; the end of its log is saved first.
        expected: records of its job id as reading its output would leave them; set in a dry run only.
    """

    target: CleanupTarget
    has_record: bool
    is_given_up: bool = False
    expected: Sequence[Settled] = ()

    @property
    def age(self) -> Age:
        """Sort key by age."""
        target = self.target
        assert target.over_since is not None  # noqa: S101 - `judge` keeps a target without it
        return target.over_since, target.name, target.uid


def deletion_order(candidates: Iterable[Candidate], resume_after: Age | None) -> list[Candidate]:
    """The oldest first; those up to `resume_after` come after all others."""
    return sorted(
        candidates,
        key=lambda candidate: (resume_after is not None and candidate.age <= resume_after, candidate.age),
    )


@dataclass(frozen=True, slots=True)
class WorkQueue:
    """The candidates that a run handles.

    Attributes:
        candidates: in deletion order.
        overflow: candidates beyond the capacity; a later run takes them up.
        resume_after: where the last run stopped; None where this one begins with the oldest.
    """

    candidates: Sequence[Candidate]
    overflow: Sequence[Candidate]
    resume_after: Age | None

    @classmethod
    def of(cls, candidates: Iterable[Candidate], *, capacity: int, resume_after: Age | None) -> WorkQueue:
        """Queues the first `capacity` candidates in deletion order."""
        ordered = deletion_order(candidates, resume_after)
        return cls(ordered[:capacity], ordered[capacity:], resume_after)

    def next_position(
        self, processed: Sequence[Candidate], *, untried: Collection[str], stayed: Collection[str]
    ) -> Age | None:
        """Where the next run resumes; None where it begins with the oldest.

        Args:
            processed: the candidates that the run worked through, in deletion order.
            untried: uids of those that it did not get to.
            stayed: uids of those that it tried and had to keep.
        """
        tried = list(takewhile(lambda candidate: candidate.target.uid not in untried, processed))
        if len(tried) == len(processed) and not self.overflow:
            return None
        tried = tried or list(processed[:1])  # it took the whole run: the next one must not begin with it
        left = {*stayed, *untried}
        if self.resume_after is None and not any(candidate.target.uid in left for candidate in tried):
            return None
        return tried[-1].age


@dataclass(frozen=True, slots=True)
class ResumePosition:
    """Where the next run resumes in each of the two queues; None where it begins with the oldest.

    Attributes:
        certain: among the candidates whose records are settled.
        unsettled: among the candidates whose output is read first.
    """

    certain: Age | None = None
    unsettled: Age | None = None

    def to_text(self) -> str | None:
        """JSON for the cursor of the lease; None where both queues begin with the oldest."""
        ages = {"certain": self.certain, "unsettled": self.unsettled}
        stored = {name: (age[0].isoformat(), *age[1:]) for name, age in ages.items() if age is not None}
        return json.dumps(stored) if stored else None

    @classmethod
    def from_text(cls, text: str | None) -> ResumePosition:
        """Reads the cursor of the lease; a missing or unreadable one means to begin with the oldest."""
        try:
            stored = json.loads(text) if text else {}
            return cls(**{name: _parse_age(age) for name, age in stored.items()})
        except (TypeError, ValueError, AttributeError):
            return cls()


def _parse_age(stored: Any) -> Age:
    ended_at, name, uid = stored
    at = datetime.fromisoformat(ended_at)
    if at.tzinfo is None or not isinstance(name, str) or not isinstance(uid, str):
        raise ValueError(f"not an age: {stored}")
    return at, name, uid
