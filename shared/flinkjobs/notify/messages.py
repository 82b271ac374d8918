"""What people read of an event: title and text of a chat message, in English and Chinese. Pure."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import msgspec

from flinkjobs.domain.actions import ActionKind
from flinkjobs.domain.events import Event, EventType
from flinkjobs.domain.flink_states import FINAL, Status
from flinkjobs.domain.reasons import REASONS, ReasonCode
from flinkjobs.domain.text import cut
from flinkjobs.settings.notify import Language

DIGEST_LISTS: Final = 10
"""Number of events that a digest names."""

_COUNTS: Final = 5
"""Number of values that a digest counts of one property; the others are added up."""

_WHY_CHARACTERS: Final = 200
"""Maximum number of characters of a cause: it stays one line."""


class Severity(StrEnum):
    """How a chat service may mark a message."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


class Message(msgspec.Struct, frozen=True):
    """A text for people.

    Attributes:
        body: lines of plain text.
    """

    severity: Severity
    title: str
    body: str


class _Kind(msgspec.Struct, frozen=True):
    """What is said of a type of event; `{subject}`, `{jobs}`, `{since}`, `{at}` and `{count}` are filled in.

    Attributes:
        status: by which the list shows the jobs of a digest; None where no status does.
        one: title of one event, by language.
        several: title of a digest.
        why: the cause where it follows from the type; a job's comes from its reason.
    """

    severity: Severity
    status: Status | None
    one: Mapping[Language, str]
    several: Mapping[Language, str]
    why: Mapping[Language, str]


def _kind(severity: Severity, status: Status | None, *en_and_zh: tuple[str, ...]) -> _Kind:
    one, several, *why = [dict(zip(Language, texts, strict=True)) for texts in zip(*en_and_zh, strict=True)]
    return _Kind(severity, status, one, several, why[0] if why else {})


_KINDS: Final[Mapping[EventType, _Kind]] = MappingProxyType(
    {
        EventType.JOB_CREATED: _kind(
            Severity.INFO,
            Status.CREATED,
            ("Job {subject} was submitted", "{count} jobs were submitted"),
            ("作业 {subject} 已提交", "{count} 个作业已提交"),
        ),
        EventType.JOB_RUNNING: _kind(
            Severity.INFO,
            Status.RUNNING,
            ("Job {subject} is running", "{count} jobs are running"),
            ("作业 {subject} 已开始运行", "{count} 个作业已开始运行"),
        ),
        EventType.JOB_SUSPENDED: _kind(
            Severity.WARNING,
            Status.SUSPENDED,
            ("Job {subject} is suspended", "{count} jobs are suspended"),
            ("作业 {subject} 已挂起", "{count} 个作业已挂起"),
        ),
        EventType.JOB_FINISHED: _kind(
            Severity.SUCCESS,
            Status.FINISHED,
            ("Job {subject} finished", "{count} jobs finished"),
            ("作业 {subject} 已完成", "{count} 个作业已完成"),
        ),
        EventType.JOB_FAILED: _kind(
            Severity.FAILURE,
            Status.FAILED,
            ("Job {subject} failed", "{count} jobs failed"),
            ("作业 {subject} 失败", "{count} 个作业失败"),
        ),
        EventType.JOB_CANCELLED: _kind(
            Severity.INFO,
            Status.CANCELLED,
            ("Job {subject} was cancelled", "{count} jobs were cancelled"),
            ("作业 {subject} 已取消", "{count} 个作业已取消"),
        ),
        EventType.JOB_LOST: _kind(
            Severity.FAILURE,
            Status.LOST,
            ("Job {subject} is lost", "{count} jobs are lost"),
            ("作业 {subject} 失联", "{count} 个作业失联"),
        ),
        EventType.JOB_STUCK: _kind(
            Severity.WARNING,
            Status.CREATED,
            ("Job {subject} is stuck", "{count} jobs are stuck"),
            ("作业 {subject} 迟迟未能启动", "{count} 个作业迟迟未能启动"),
        ),
        EventType.JOB_RECOVERED: _kind(
            Severity.SUCCESS,
            None,
            ("Job {subject} has recovered", "{count} jobs have recovered"),
            ("作业 {subject} 已恢复", "{count} 个作业已恢复"),
        ),
        EventType.JOB_UNHEALTHY: _kind(
            Severity.WARNING,
            Status.RUNNING,
            ("Job {subject} is unhealthy", "{count} jobs are unhealthy"),
            ("作业 {subject} 不健康", "{count} 个作业不健康"),
        ),
        EventType.JOB_HEALTHY: _kind(
            Severity.SUCCESS,
            Status.RUNNING,
            ("Job {subject} is healthy again", "{count} jobs are healthy again"),
            ("作业 {subject} 已恢复健康", "{count} 个作业已恢复健康"),
        ),
        EventType.CLUSTER_UNREACHABLE: _kind(
            Severity.FAILURE,
            None,
            (
                "Flink cluster {subject} is unreachable",
                "{count} Flink clusters are unreachable",
                "Flink's REST API does not answer. The jobs of this cluster keep their status until it does.",
            ),
            (
                "Flink 集群 {subject} 无响应",
                "{count} 个 Flink 集群无响应",
                "Flink REST API 没有响应。恢复之前，该集群的作业保持原有状态。",
            ),
        ),
        EventType.CLUSTER_REACHABLE: _kind(
            Severity.SUCCESS,
            None,
            (
                "Flink cluster {subject} is reachable again",
                "{count} Flink clusters are reachable again",
                "It did not answer from {since} until {at}.",
            ),
            (
                "Flink 集群 {subject} 已恢复响应",
                "{count} 个 Flink 集群已恢复响应",
                "{since} 至 {at} 期间没有响应。",
            ),
        ),
        EventType.CLUSTER_JOBS_MISSING: _kind(
            Severity.WARNING,
            None,
            (
                "Jobs are missing from Flink cluster {subject}: {jobs}",
                "Jobs are missing from {count} Flink clusters",
                (
                    "Flink answers and does not know these jobs, usually because the JobManager was "
                    "restarted without high availability. Jobs that stay missing become LOST."
                ),
            ),
            (
                "Flink 集群 {subject} 中查不到 {jobs} 个作业",
                "{count} 个 Flink 集群中有作业查不到",
                (
                    "Flink 有响应，但查不到这些作业，通常是因为 JobManager 在未启用高可用（HA）的情况下重启。"
                    "持续查不到的作业会变为“失联”。"
                ),
            ),
        ),
        EventType.SYNC_RESUMED: _kind(
            Severity.WARNING,
            None,
            (
                "Sync has resumed",
                "Sync has resumed {count} times",
                "No pass began between {since} and {at}. Check the schedule and the log of sync.",
            ),
            (
                "状态同步已恢复",
                "状态同步恢复了 {count} 次",
                "{since} 至 {at} 期间没有进行同步。请检查调度和 sync 的日志。",
            ),
        ),
        EventType.NOTIFY_TEST: _kind(
            Severity.INFO,
            None,
            ("Test of flinkjobs", "{count} tests of flinkjobs", "This channel works. Nothing has happened."),
            ("flinkjobs 测试消息", "{count} 条 flinkjobs 测试消息", "该通道工作正常，没有发生任何事件。"),
        ),
    }
)
"""Every type of event has its row."""


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    """The words around the facts in one language."""

    colon: str
    comma: str
    times: str
    job: str
    template: str
    cluster: str
    submitted_by: str
    why: str
    stopped: str
    since: str
    between: str
    page: str
    commands: str
    first: str
    others: str


_WORDS: Final[Mapping[Language, _Words]] = MappingProxyType(
    {
        Language.EN: _Words(
            colon=": ",
            comma=", ",
            times="{value} ({count})",
            job="Job",
            template="Template",
            cluster="Cluster",
            submitted_by="Submitted by",
            why="Why",
            stopped="stopped with a savepoint",
            since="Since",
            between="From {first} until {last}",
            page="Page",
            commands="Commands",
            first="The first {count}",
            others="{count} others",
        ),
        Language.ZH: _Words(
            colon="：",
            comma="、",
            times="{value}（{count}）",
            job="作业",
            template="模板",
            cluster="集群",
            submitted_by="提交人",
            why="原因",
            stopped="已生成 savepoint 并停止",
            since="时间",
            between="{first} 至 {last}",
            page="页面",
            commands="命令",
            first="前 {count} 个",
            others="其他 {count} 个",
        ),
    }
)


def event_url(event: Event, page_url: str | None) -> str | None:
    """Where people see what an event is about; None without the page's address."""
    if page_url is None:
        return None
    return f"{page_url}/" if event.job is None else f"{page_url}/?job={quote(event.subject, safe='')}"


def message_of(event: Event, *, language: Language, page_url: str | None) -> Message:
    """The message of one event: what, which job, why, since when, a link, three commands."""
    words, kind = _WORDS[language], _KINDS[event.type]
    title = _filled(kind.one[language], event)
    lines = [
        *(_job_lines(event.job, words) if event.job is not None else []),
        _line(words, words.why, _why(event, language))
        if event.job is not None
        else _filled(kind.why[language], event),
        _line(words, words.since, _shown(_since(event))),
        _line(words, words.page, event_url(event, page_url)),
    ]
    return Message(kind.severity, title, _body(lines, _commands(event), words))


def digest_of(events: Sequence[Event], *, language: Language, page_url: str | None) -> Message:
    """The message of several events of one type: how many of what, the first ten, a link, three commands."""
    words, kind = _WORDS[language], _KINDS[events[0].type]
    title = kind.several[language].format(count=len(events))
    first, last = min(event.time for event in events), max(event.time for event in events)
    jobs = [event.job for event in events if event.job is not None]
    listed = [(_inert(event.subject), _cause(event, language)) for event in events[:DIGEST_LISTS]]
    lines = [
        words.between.format(first=_shown(first), last=_shown(last)),
        _line(words, words.why, _counted((_cause(event, language) for event in events), words)),
        _line(words, words.template, _counted((job.get("template_id") for job in jobs), words)),
        _line(words, words.cluster, _counted((job.get("cluster") for job in jobs), words)),
        _line(words, words.submitted_by, _counted((job.get("submitted_by") for job in jobs), words)),
        words.first.format(count=len(listed)) + words.colon.rstrip(),
        *(f"- {_line(words, subject, cause) or subject}" for subject, cause in listed),
        _line(words, words.page, _list_url(kind, page_url)),
    ]
    commands = [
        f"flinkjobs jobs --status {kind.status.lower()}" if kind.status else "flinkjobs jobs",
        *(_commands(events[0])[:1] if jobs else ["flinkjobs sync"]),
        "flinkjobs doctor",
    ]
    return Message(kind.severity, title, _body(lines, commands, words))


def _filled(text: str, event: Event) -> str:
    return text.format(
        subject=_inert(event.subject),
        jobs=event.move.get("jobs"),
        since=_shown(event.move.get("since")),
        at=_shown(event.time),
    )


def _job_lines(job: Mapping[str, Any], words: _Words) -> Iterable[str | None]:
    name = job.get("job_name")
    for label, value in (
        (words.job, name if name != job.get("job_id") else None),  # the title has the id
        (words.template, job.get("template_id")),
        (words.cluster, job.get("cluster")),
        (words.submitted_by, job.get("submitted_by")),
    ):
        yield _line(words, label, value and _inert(str(value)))


def _cause(event: Event, language: Language) -> str | None:
    """A cause in a few words: the title of the move's reason; or that a stop has ended the job."""
    code = event.move.get("reason_code")
    if event.type is EventType.JOB_FINISHED and (event.job or {}).get("ended_by") == ActionKind.STOP:
        return _WORDS[language].stopped
    if code is None:
        return None
    if code not in REASONS:  # written by a newer version
        return str(code)
    info = REASONS[ReasonCode(code)]
    return (info.zh if language is Language.ZH else info.en).title


def _why(event: Event, language: Language) -> str | None:
    """The cause of a job's move in one line; with what its record says, where that is of the same cause."""
    cause, reason = _cause(event, language), _reason(event)
    message = str(reason.get("message") or "").strip().partition("\n")[0] if reason else ""
    if cause and message:
        cause = f"{cause}{_WORDS[language].colon}{_inert(message)}"
    return cause and cut(cause, _WHY_CHARACTERS)


def _reason(event: Event) -> Mapping[str, Any] | None:
    """The reason, or health, of the record, where it is still the one that was written with the move."""
    reason = (event.job or {}).get("health" if event.type is EventType.JOB_UNHEALTHY else "reason")
    is_same = reason is not None and reason.get("code") == event.move.get("reason_code")
    return reason if is_same else None


def _since(event: Event) -> datetime:
    """Since when it is so: the beginning of the cause where that is known, else the time of the move."""
    since = (_reason(event) or {}).get("since")
    if event.type is EventType.CLUSTER_UNREACHABLE:
        since = event.move.get("since")
    return since if isinstance(since, datetime) else event.time


def _shown(time: Any) -> str:
    """A time for people, with its zone."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(time, datetime) else "?"


def _list_url(kind: _Kind, page_url: str | None) -> str | None:
    if page_url is None:
        return None
    return f"{page_url}/?status={kind.status}" if kind.status else f"{page_url}/"


def _commands(event: Event) -> list[str]:
    """Three commands that show more."""
    if event.type is EventType.SYNC_RESUMED:
        return ["flinkjobs doctor", "flinkjobs schedules list", "flinkjobs sync"]
    if event.type is EventType.NOTIFY_TEST:
        return ["flinkjobs notify list", "flinkjobs doctor", "flinkjobs jobs"]
    if event.job is None:
        return ["flinkjobs doctor", "flinkjobs jobs --status running", "flinkjobs sync"]
    job_id, template = shlex.quote(event.subject), event.job.get("template_id")
    of_template = (
        f"flinkjobs jobs --template-id {shlex.quote(str(template))}" if template else "flinkjobs jobs"
    )
    is_over = event.move.get("status") in FINAL
    return [
        f"flinkjobs show {job_id}",
        f"flinkjobs logs {job_id}",
        of_template if is_over else f"flinkjobs sync {job_id}",
    ]


def _counted(values: Iterable[str | None], words: _Words) -> str | None:
    """How often each value occurs, the most frequent first; None where there is none."""
    counts = Counter(value for value in values if value)
    shown = counts.most_common(_COUNTS)
    parts = [words.times.format(value=_inert(str(value)), count=count) for value, count in shown]
    if others := counts.total() - sum(count for _, count in shown):
        parts.append(words.others.format(count=others))
    return words.comma.join(parts) or None


def _line(words: _Words, label: str, value: str | None) -> str | None:
    return f"{label}{words.colon}{value}" if value else None


def _body(lines: Iterable[str | None], commands: Iterable[str], words: _Words) -> str:
    shown = [line for line in lines if line]
    return "\n".join(
        [*shown, words.commands + words.colon.rstrip(), *(f"  {command}" for command in commands)]
    )


def _inert(text: str) -> str:
    """A text of users as one line that calls no person: chat services read `<!here>` or `@all` as a call."""
    one_line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)
    return re.sub(
        r"@(?=all|everyone|here|channel|所有人)", "@\u200b", one_line.replace("<", "‹").replace(">", "›")
    )
