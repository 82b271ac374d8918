"""Settings of the schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flinkjobs.domain.cron import cron_fault
from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.schedule import NAME
from flinkjobs.domain.text import cut
from flinkjobs.settings.parsing import Reader, http_url, matching, set_values, whole_number

SCHEDULED: Final = ("sync", "cleanup")
"""The functions that a schedule triggers."""


@dataclass(frozen=True, slots=True)
class OwnSchedule:
    """One of the two schedules that belong to this system.

    Attributes:
        function: which function it triggers.
        name: its id in Cloud Scheduler.
        cron: as deployed, in unix-cron.
        url: of the function; None where it is not known here.
        attempt_deadline_seconds: how long an attempt waits for its answer.
    """

    function: str
    name: str
    cron: str
    url: str | None
    attempt_deadline_seconds: int


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Location and configuration of the schedules.

    Attributes:
        project: of Google Cloud.
        location: such as `europe-west1`.
        endpoint: of a Cloud Scheduler double; None is Google.
        own: the schedules by the name of their function.
        time_zone: in which their expressions are read.
        service_account: whose OIDC token they send; None sends none.
    """

    project: str
    location: str
    endpoint: str | None
    own: Mapping[str, OwnSchedule]
    time_zone: str
    service_account: str | None


def read_schedule_settings(environ: Mapping[str, str]) -> ScheduleSettings:
    """Reads what managing the schedules needs.

    Raises:
        SettingsError: as `read_settings`; SCHEDULER_PARENT is required.
    """
    env = set_values(environ)
    if "SCHEDULER_PARENT" not in env:
        raise SettingsError("SCHEDULER_PARENT is required and not set: projects/PROJECT/locations/LOCATION")
    read = Reader(env)
    project, location = read.value("SCHEDULER_PARENT", ("", ""), _scheduler_parent)
    crons = {"sync": "*/3 * * * *", "cleanup": "0 2 * * *"}
    own = {
        name: OwnSchedule(
            function=name,
            name=read.value(f"{name.upper()}_SCHEDULE", f"flinkjobs-{name}", _schedule_name),
            cron=read.value(f"{name.upper()}_CRON", crons[name], _cron),
            url=read.value(f"{name.upper()}_URL", None, http_url),
            attempt_deadline_seconds=read.value(
                f"{name.upper()}_ATTEMPT_DEADLINE_SECONDS", 165, whole_number(15, 1_800)
            ),
        )
        for name in SCHEDULED
    }
    if len({schedule.name for schedule in own.values()}) < len(own):
        raise SettingsError("SYNC_SCHEDULE and CLEANUP_SCHEDULE must be two names")
    return ScheduleSettings(
        project=project,
        location=location,
        endpoint=read.value("SCHEDULER_ENDPOINT", None, http_url),
        own=MappingProxyType(own),
        time_zone=read.value("SCHEDULER_TIME_ZONE", "Etc/UTC", _time_zone),
        service_account=read.value("SCHEDULER_SERVICE_ACCOUNT", None, _service_account),
    )


def _scheduler_parent(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"projects/([^/\s]+)/locations/([^/\s]+)", text)
    if found is None:
        raise ValueError(f"must be projects/PROJECT/locations/LOCATION, not {cut(text, 120)!r}")
    return found[1], found[2]


def _cron(text: str) -> str:
    if (wrong := cron_fault(text)) is not None:
        raise ValueError(f"is no cron expression: {wrong}")
    return text


_schedule_name: Final = matching(NAME.pattern, "must be letters, digits, '-' and '_'")
_time_zone: Final = matching(r"[A-Za-z0-9_+/-]{1,80}", "must be a name of the tz database")
_service_account: Final = matching(
    r"[^@\s]+@[^@\s]+", "must be the e-mail address of a service account", shown=120
)
