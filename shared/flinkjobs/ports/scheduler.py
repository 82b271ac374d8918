"""Protocol for Cloud Scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # of the read side and of the command: a pass needs neither
    from flinkjobs.domain.schedule import Applied as ScheduleApplied
    from flinkjobs.domain.schedule import Schedule, ScheduleState


class Schedules(Protocol):
    """The schedules of one place in Cloud Scheduler."""

    def get(self, name: str) -> ScheduleState | None:
        """A schedule; None where there is none of this name."""

    def apply(self, schedule: Schedule) -> ScheduleApplied:
        """Creates or updates this schedule; an identical one causes no write."""

    def pause(self, name: str) -> ScheduleState:
        """Stops a schedule; returns its state afterwards."""

    def resume(self, name: str) -> ScheduleState:
        """Starts a schedule again; returns its state afterwards."""

    def run(self, name: str) -> None:
        """Sends a schedule's request now."""
