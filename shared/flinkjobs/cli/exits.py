"""Exit codes: what a script may rely on. docs/cli.md holds this table, and a test compares the two."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from flinkjobs.errors import FlinkjobsError, NotFoundError, SettingsError, TemplateMissingError, TemporaryError
from flinkjobs.model import Status


class Exit(IntEnum):
    """How a command ended.

    Attributes:
        meaning: one line for people.
    """

    meaning: str

    OK = 0, "Done; with --wait, the job is FINISHED."
    FAILED = 1, "The job FAILED, or a check, a pass or a conversion found something that needs somebody."
    USAGE = 2, "The command line or a setting is wrong or missing; nothing was sent."
    REFUSED = 3, "The request was refused, here or by the system: change it, repeating will not help."
    NOT_FOUND = 4, "There is no such job, log, schedule or template."
    UNAVAILABLE = 5, "A part of the system did not answer; repeating the same command is safe and may help."
    STILL_RUNNING = 6, "--timeout ran out before the job was over. The job goes on."
    CANCELLED = 7, "The job that was waited for was CANCELLED."
    LOST = 8, "The job that was waited for is LOST: Flink does not know it any more."
    BUG = 70, "An unexpected error of the command itself; --debug shows its stack."
    INTERRUPTED = 130, "Ctrl-C. A submitted job goes on. Ended by another signal: 128 and its number."
    BROKEN_PIPE = 141, "Whoever read the output went away, as `head` does."

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


OUTCOMES = {
    Status.FINISHED: Exit.OK,
    Status.FAILED: Exit.FAILED,
    Status.CANCELLED: Exit.CANCELLED,
    Status.LOST: Exit.LOST,
}
"""What --wait exits with, by the status in which the job ended; every other status is not the end."""

_BY_ERROR: tuple[tuple[type[FlinkjobsError], Exit], ...] = (
    (SettingsError, Exit.USAGE),
    (NotFoundError, Exit.NOT_FOUND),
    (TemplateMissingError, Exit.NOT_FOUND),
    (TemporaryError, Exit.UNAVAILABLE),
    (FlinkjobsError, Exit.REFUSED),
)


def exit_for(error: FlinkjobsError) -> Exit:
    """The exit code of an error: that of the first kind it is."""
    return next(code for kind, code in _BY_ERROR if isinstance(error, kind))
