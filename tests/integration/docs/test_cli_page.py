"""`docs/reference/cli.md` and the command say the same."""

from __future__ import annotations

import inspect
import re

from flinkjobs.cli.exit_codes import OUTCOMES, Exit, exit_for
from flinkjobs.domain.errors import (
    JobNotFoundError,
    KubernetesRefusedError,
    SettingsError,
    StoreUnavailableError,
)
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.permissions import Function
from flinkjobs.settings import client as settings_client
from flinkjobs.settings import schedules as settings_schedules
from tests.integration.docs import cli_page

SOURCE = inspect.getsource(settings_client.read_client_settings) + inspect.getsource(
    settings_schedules.read_schedule_settings
)


def settings_of_the_code() -> set[str]:
    """Every name that is read, with the name of each function put in."""
    found: set[str] = set()
    for name in re.findall(r'(?:value\(|env\[)\s*f?"([^"]+)"', SOURCE):
        functions = Function if name.endswith("_URL") else settings_schedules.SCHEDULED
        found |= {name.replace("{name.upper()}", function.upper()) for function in functions}
    return found


def test_the_page_lists_every_command_option_and_exit_code() -> None:
    page = cli_page.PAGE.read_text(encoding="utf-8")
    assert page == cli_page.render(page), "run: python -m tests.integration.docs.cli_page"
    assert "`--idempotency-key IDEMPOTENCY_KEY`" in page
    assert "### `flinkjobs schedules set WHICH CRON`" in page


def test_the_page_lists_every_setting_of_the_command_and_no_other() -> None:
    [table] = re.findall(
        r"\| name \| default \| meaning \|\n\|---.*?\n\n", cli_page.PAGE.read_text(), re.DOTALL
    )
    first_cells = [row.split("|")[1] for row in table.strip().splitlines()[2:]]
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(first_cells)))
    found = settings_of_the_code()
    assert len(found) > 15
    assert named == found | {"SCHEDULER_PARENT"}


def test_every_command_can_answer_in_json() -> None:
    sections = cli_page.PAGE.read_text(encoding="utf-8").split("\n### ")[1:]
    without = {section.splitlines()[0] for section in sections if "`--json`" not in section}
    assert len(sections) > 15
    assert without == {
        "`flinkjobs`",
        "`flinkjobs notify`",
        "`flinkjobs schedules`",
        "`flinkjobs stats`",
    }, "these are groups"


def test_every_end_of_a_job_and_every_kind_of_error_has_its_exit_code() -> None:
    assert set(OUTCOMES) == set(Status) - {Status.CREATED, Status.RUNNING, Status.SUSPENDED}
    assert len(set(OUTCOMES.values())) == len(OUTCOMES)
    assert exit_for(SettingsError("")) is Exit.USAGE
    assert exit_for(StoreUnavailableError("")) is Exit.UNAVAILABLE
    assert exit_for(JobNotFoundError("")) is Exit.NOT_FOUND
    assert exit_for(KubernetesRefusedError("", reason="Forbidden", status=403)) is Exit.REFUSED
