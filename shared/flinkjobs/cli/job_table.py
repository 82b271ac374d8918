"""The list of jobs as a table that fits the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from rich.table import Table

from flinkjobs.cli.client import Document
from flinkjobs.cli.formatting import age, ill, moment, reason, seconds
from flinkjobs.cli.output import Cell, clean, status_text, table

FLINK_JOB_ID_LENGTH: Final = 32
GAP: Final = 2
"""Columns between two columns."""


class Column(NamedTuple):
    """One column of the list.

    Attributes:
        width: at least, where the table must fit a terminal.
        cell: what it shows of a job, at a time.
    """

    width: int
    cell: Callable[[Document, datetime], Cell]


def _field(name: str) -> Callable[[Document, datetime], Cell]:
    def cell(job: Document, _now: datetime) -> Cell:
        value: str | None = job[name]
        return value

    return cell


def _age(job: Document, now: datetime) -> Cell:
    return age(job["submitted_at"], now)


def _submitted(job: Document, _now: datetime) -> Cell:
    return moment(job["submitted_at"])


def _reason(job: Document, _now: datetime) -> Cell:
    """Why it is not moving or has ended so; else why it is unhealthy."""
    return f"UNREADABLE: {job['unreadable']}" if job.get("unreadable") else reason(job["reason"] or ill(job))


Columns: TypeAlias = Mapping[str, Column]

_ALL: Final[Columns] = {
    "Job": Column(12, _field("job_id")),
    "Status": Column(9, lambda job, _now: status_text(job["status"])),
    "Age": Column(6, _age),
    "Submitted (UTC)": Column(19, _submitted),
    "Started (UTC)": Column(19, lambda job, _now: moment(job["start_time"])),
    "Ended (UTC)": Column(19, lambda job, _now: moment(job["end_time"])),
    "Duration": Column(10, lambda job, _now: seconds(job["duration"])),
    "Flink Job ID": Column(FLINK_JOB_ID_LENGTH, _field("flink_job_id")),
    "Template": Column(8, _field("template_id")),
    "Cluster": Column(7, _field("cluster")),
    "Owner": Column(5, _field("submitted_by")),
    "Kubernetes Job": Column(14, _field("k8s_job_name")),
    "Reason": Column(16, _reason),
}

LIST: Final = {name: _ALL[name] for name in ("Job", "Status", "Age", "Duration", "Flink Job ID", "Reason")}
WIDE: Final = {name: column for name, column in _ALL.items() if name != "Age"}

LEFT_OUT: Final = ("Duration", "Reason", "Flink Job ID", "Age")
"""The columns of the list that go first where a terminal is too narrow for all."""


def job_table(page: Document, columns: Columns, *, width: int | None) -> Table:
    """The jobs of a page.

    Args:
        page: as `GET /api/jobs` answers it.
        columns: `LIST` or `WIDE`.
        width: of the terminal, which columns of `LIST` are left out to fit; None: nothing is cut.
    """
    now = datetime.fromisoformat(page["now"])
    if width is None or columns is WIDE:
        return table(columns, [_row(job, columns, now) for job in page["jobs"]])
    ids = (len(clean(job["job_id"])) for job in page["jobs"])
    widths = {name: column.width for name, column in columns.items()}
    widths["Job"] = min(max(ids, default=widths["Job"]), width - widths["Status"] - GAP)
    for name in LEFT_OUT:
        if _total(widths) > width:
            del widths[name]
    if "Reason" in widths:
        widths["Reason"] += width - _total(widths)
    shown = {name: columns[name] for name in widths}
    drawn = table(shown, [_row(job, shown, now) for job in page["jobs"]])
    for column, wide in zip(drawn.columns, widths.values(), strict=True):
        column.width, column.no_wrap, column.overflow = wide, True, "ellipsis"
    return drawn


def _row(job: Document, columns: Columns, now: datetime) -> list[Cell]:
    return [column.cell(job, now) for column in columns.values()]


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)
