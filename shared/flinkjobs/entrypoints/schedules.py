"""Composition root of `flinkjobs schedules`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flinkjobs.adapters.cloud_scheduler import CloudSchedules
from flinkjobs.ports.scheduler import Schedules
from flinkjobs.settings.schedules import ScheduleSettings


def connect_schedules(settings: ScheduleSettings) -> AbstractContextManager[Schedules]:
    """Cloud Scheduler, for the duration of the block."""
    return CloudSchedules(project=settings.project, location=settings.location, endpoint=settings.endpoint)
