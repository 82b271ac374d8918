"""Whose turn it is in a run that cannot come to everything: the oldest first, nobody waits for ever. Pure.

What may go does not always go: an admission webhook forbids it, or its log cannot be read. Tried first in
every run, being the oldest, enough of these would keep all younger ones from their turn. So a run that leaves
such an object behind, and does not come to another one, leaves a mark for the next, which begins behind it
and comes to the others once it is round.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, TypeAlias

from flinkjobs.domain.kubernetes_objects import CleanupTarget

Age: TypeAlias = tuple[datetime, str, str]
"""When an object ended, its name and its uid: the smaller, the older."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that may go, as the plan saw it."""

    target: CleanupTarget
    has_record: bool

    @property
    def age(self) -> Age:
        """Its place in the order of age."""
        target = self.target
        assert target.over_since is not None  # noqa: S101 - the rule lets nothing go without it
        return target.over_since, target.name, target.uid


def deletion_order(candidates: Iterable[Candidate], mark: Age | None) -> list[Candidate]:
    """The candidates in the order of their turn: the oldest first, those up to the mark after all others."""
    return sorted(
        candidates,
        key=lambda candidate: (mark is not None and candidate.age <= mark, candidate.age),
    )


class WorkQueue:
    """Those whose turn comes first, however many are offered.

    Attributes:
        mark: behind which the run begins; None where it begins with the oldest.
        is_cut: there was no room for some.
    """

    def __init__(self, most: int, mark: Age | None) -> None:
        """Args:
        most: for how many there is room.
        mark: see above.
        """
        self.mark = mark
        self.is_cut = False
        self._most = most
        self._found: list[Candidate] = []

    def offer(self, candidate: Candidate) -> list[Candidate]:
        """Takes one more; returns those for which there is no room."""
        self._found.append(candidate)
        return self._cut() if len(self._found) >= 2 * self._most else []

    def _cut(self) -> list[Candidate]:
        self._found = deletion_order(self._found, self.mark)
        dropped = self._found[self._most :]
        del self._found[self._most :]
        self.is_cut = self.is_cut or bool(dropped)
        return dropped

    def close(self) -> tuple[list[Candidate], list[Candidate]]:
        """Those in the line in the order of their turn, and the last for which there is no room."""
        dropped = self._cut()
        return self._found, dropped

    def next_position(
        self, candidates: Sequence[Candidate], *, untried: Collection[str], stayed: Collection[str]
    ) -> Age | None:
        """Behind which the next run is to begin; None where it is to begin with the oldest.

        Args:
            candidates: those in the line, in the order of their turn.
            untried: uids of those that the run did not come to.
            stayed: uids of those that it tried in vain.
        """
        tried = list(takewhile(lambda candidate: candidate.target.uid not in untried, candidates))
        if len(tried) == len(candidates) and not self.is_cut:
            return None
        tried = tried or list(candidates[:1])  # what took this run all its time shall not take the next one's
        left = {*stayed, *untried}
        if self.mark is None and not any(candidate.target.uid in left for candidate in tried):
            return None
        return tried[-1].age


@dataclass(frozen=True, slots=True)
class ResumePosition:
    """What a run leaves for the next one.

    Attributes:
        certain: among the objects that need no look.
        unsettled: among those whose records are looked at first.
    """

    certain: Age | None = None
    unsettled: Age | None = None

    def to_text(self) -> str | None:
        """As the lease keeps it; None where the next run begins with the oldest."""
        marks = {"certain": self.certain, "unsettled": self.unsettled}
        set_marks = {name: (at[0].isoformat(), *at[1:]) for name, at in marks.items() if at is not None}
        return json.dumps(set_marks) if set_marks else None

    @classmethod
    def from_text(cls, text: str | None) -> ResumePosition:
        """Reads what the lease kept. Without it, or where it cannot be read, a run begins with the oldest."""
        try:
            kept = json.loads(text) if text else {}
            return cls(**{name: _age(at) for name, at in kept.items()})
        except (TypeError, ValueError, AttributeError):
            return cls()


def _age(kept: Any) -> Age:
    when, name, uid = kept
    at = datetime.fromisoformat(when)
    if at.tzinfo is None or not isinstance(name, str) or not isinstance(uid, str):
        raise ValueError(f"no age: {kept}")
    return at, name, uid
