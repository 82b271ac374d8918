"""Exit codes, which scripts may rely on; a test compares them with docs/reference/cli.md."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Self

from typer.exceptions import TyperException

from flinkjobs.domain.errors import FlinkjobsError, SettingsError, TemporaryError
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.reasons import ReasonCode


class Exit(IntEnum):
    """How a command ended.

    Attributes:
        meaning: one line for people.
    """

    meaning: str

    OK = 0, "Done; with --wait, the job is FINISHED."
    FAILED = (
        1,
        "The job or its script failed; a check, pass or conversion found a problem or was skipped.",
    )
    USAGE = 2, "The command line or a setting is wrong or missing; nothing was sent."
    REFUSED = 3, "The request was refused, here or by the system: change it, repeating will not help."
    NOT_FOUND = 4, "There is no such job, log, schedule or template."
    UNAVAILABLE = 5, "A part of the system did not answer; repeating the same command is safe and may help."
    STILL_RUNNING = 6, "--timeout ran out before the job was over. The job goes on."
    CANCELLED = 7, "The job that was waited for was CANCELLED."
    LOST = 8, "The job that was waited for is LOST: Flink does not know it."
    BUG = 70, "An unexpected error of the command itself; --debug shows its stack."
    INTERRUPTED = 130, "Ctrl-C. A submitted job goes on. Ended by another signal: 128 and its number."
    BROKEN_PIPE = 141, "The reader of the output is gone, as `head` is after its last line."

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class MisuseError(TyperException):
    """The command line cannot be carried out, in a way that typer does not see; nothing was sent."""

    exit_code = Exit.USAGE


OUTCOMES = {
    Status.FINISHED: Exit.OK,
    Status.FAILED: Exit.FAILED,
    Status.CANCELLED: Exit.CANCELLED,
    Status.LOST: Exit.LOST,
}
"""What --wait exits with, by the status in which the job ended; every other status is not the end."""


def outcome_of(status: Status, reason_code: str | None) -> Exit | None:
    """What --wait exits with; None while the job goes on.

    A job may be FINISHED whose script failed after it had submitted that job: its exit code is that of a
    failed job.
    """
    if status is Status.FINISHED and reason_code == ReasonCode.SUBMIT_INCOMPLETE:
        return Exit.FAILED
    return OUTCOMES.get(status)


def exit_for(error: FlinkjobsError) -> Exit:
    """The exit code of an error, by its kind and the HTTP status it becomes."""
    if isinstance(error, SettingsError):
        return Exit.USAGE
    if isinstance(error, TemporaryError):
        return Exit.UNAVAILABLE
    return Exit.NOT_FOUND if error.http_status == HTTPStatus.NOT_FOUND else Exit.REFUSED
