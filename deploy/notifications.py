"""The examples of notifications in the documentation, made by the code that makes the messages.

`deploy.reasons` writes them into `docs/how-to/be-notified.md` and its Chinese page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flinkjobs.domain.events import Event, EventType, sample_event
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.reasons import ReasonCode
from flinkjobs.notify.messages import Message, digest_of, message_of
from flinkjobs.settings.notify import Language

PAGE_URL: Final = "https://flinkjobs.example.com"
EXAMPLES: Final = re.compile(r"(<!-- examples: .*? -->\n).*?(<!-- end of examples -->)", re.DOTALL)

AT: Final = datetime(2026, 11, 29, 9, 3, tzinfo=UTC)
REASONS: Final[Mapping[EventType, tuple[ReasonCode, str]]] = {
    EventType.JOB_FAILED: (
        ReasonCode.JOB_FAILED,
        "org.apache.kafka.common.errors.TimeoutException: Topic orders not present in metadata",
    ),
    EventType.JOB_LOST: (
        ReasonCode.OUTCOME_UNKNOWN,
        "fee40d868f8485130cc716bcec2801e0: Flink does not know it any more, and nothing says how it ended",
    ),
    EventType.JOB_UNHEALTHY: (ReasonCode.RESTARTING, "java.lang.ArithmeticException: / by zero"),
    EventType.JOB_STUCK: (ReasonCode.IMAGE_PULL, 'Back-off pulling image "registry.example.com/flink:1.2O"'),
}
STATUSES: Final[Mapping[EventType, Status]] = {
    EventType.JOB_STUCK: Status.CREATED,
    EventType.JOB_RECOVERED: Status.CREATED,
    EventType.JOB_UNHEALTHY: Status.RUNNING,
    EventType.JOB_HEALTHY: Status.RUNNING,
}
"""The status after a move whose type is not named like it."""
MINUTES_BEFORE: Final = timedelta(minutes=6)


def with_examples(page: str, language: Language) -> str:
    """A page with its examples as they should be."""
    written = "\n\n".join(_examples(language))
    after, count = EXAMPLES.subn(lambda found: f"{found[1]}{written}\n{found[2]}", page)
    if count != 1:
        raise ValueError(f"{count} places for examples instead of one")
    return after


def _examples(language: Language) -> Iterator[str]:
    for kind in EventType:
        yield f"`{kind}`\n\n" + _block(message_of(_event(kind), language=language, page_url=PAGE_URL))
    several = [_event(EventType.JOB_FAILED, number) for number in range(12)]
    title = {Language.EN: "twelve of one type", Language.ZH: "十二个同类事件"}[language]
    yield f"`{EventType.JOB_FAILED}`, {title}\n\n" + _block(
        digest_of(several, language=language, page_url=PAGE_URL)
    )


def _block(message: Message) -> str:
    return f"```text\n{message.title}\n{message.body}\n```"


def _event(kind: EventType, number: int = 0) -> Event:
    what = kind.value.rpartition(".")[2]
    if kind.value.startswith("flinkjobs.job."):
        return _job_event(kind, STATUSES.get(kind) or Status(what.upper()), number)
    if kind is EventType.NOTIFY_TEST:
        return sample_event("1", AT)
    subject = "sync" if kind is EventType.SYNC_RESUMED else "default"
    move = {"status": what, "since": AT - MINUTES_BEFORE, "jobs": 120}
    return Event(f"{subject}/1", kind, AT, subject, None if subject == "sync" else subject, move)


def _job_event(kind: EventType, status: Status, number: int) -> Event:
    code, message = REASONS.get(kind, (None, ""))
    job_id = f"daily_orders_{1795942800000 + 1000 * number}"
    job: dict[str, Any] = {
        "job_id": job_id,
        "template_id": "daily_orders",
        "job_name": "Orders of the day",
        "cluster": "default",
        "submitted_by": "alice",
        "status": status.value,
        "health" if kind is EventType.JOB_UNHEALTHY else "reason": code
        and {"code": code.value, "message": message, "since": AT - MINUTES_BEFORE},
    }
    move = {"status": status.value, "reason_code": code}
    return Event(f"{job_id}/2", kind, AT + timedelta(seconds=number), job_id, "default", move, job)
