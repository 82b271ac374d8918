"""Errors that cross a module's border, each with its HTTP status and stable code.

Two kinds matter to a caller: a `TemporaryError` may go away by itself (try again), a
`PermanentError` will not (the cause must be removed first). Adapters map the exceptions of their libraries
into one of these, chained with ``from``; nothing above the adapters knows a library's exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final


class FlinkjobsError(Exception):
    """Base of all errors of this package. `code` is stable and documented, the message is for people.

    Attributes:
        public_detail: sent to callers in the place of the message, which then holds a driver's words and is
            for the log.
    """

    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    public_detail: ClassVar[str | None] = None


class TemporaryError(FlinkjobsError):
    """A temporary error: the caller may repeat the same request."""

    http_status = 503
    code = "UNAVAILABLE"


class PermanentError(FlinkjobsError):
    """A permanent error: a repeated request fails again."""


class SettingsError(PermanentError):
    """A setting is missing or wrong. The message is one line and begins with the variable's name."""

    code = "SETTINGS"


class StoreUnavailableError(TemporaryError):
    """MongoDB did not answer, or not in time."""

    code = "STORE_UNAVAILABLE"
    public_detail: ClassVar[str | None] = "MongoDB did not answer."


class StoreNotFoundError(StoreUnavailableError):
    """DNS does not resolve the name of MongoDB; the message says which."""

    public_detail = None


class StoreRefusedError(PermanentError):
    """MongoDB answered and refused: credentials, permissions, an invalid command."""

    code = "STORE_REFUSED"


class DuplicateJobIdError(PermanentError):
    """A record with this `job_id` exists already."""

    http_status = 409
    code = "DUPLICATE_JOB_ID"


class KubernetesUnavailableError(TemporaryError):
    """The Kubernetes API server gave no valid answer: refused, timeout, 429, 5xx, no JSON."""

    code = "KUBERNETES_UNAVAILABLE"


class KubernetesThrottledError(KubernetesUnavailableError):
    """The API server did nothing, and asks for a pause: 429, or 503 with Retry-After.

    Attributes:
        retry_after_seconds: how long; None where it does not say.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class KubernetesUnreadableError(KubernetesUnavailableError):
    """The API server answered with an object that cannot be read; what it says of others may be readable."""


class KubernetesRefusedError(PermanentError):
    """The Kubernetes API server answered and refused the request.

    Attributes:
        reason: the `reason` of its Status object (`Forbidden`, `Invalid`, …), or the HTTP status.
        status: its HTTP status.
    """

    http_status = 502
    code = "KUBERNETES_REFUSED"

    def __init__(self, message: str, *, reason: str, status: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class KubernetesCredentialError(KubernetesRefusedError):
    """The API server refused the caller, whatever the object: 401, or 403 because a permission is missing."""


class KubernetesNotFoundError(KubernetesRefusedError):
    """The object does not exist (404)."""


class KubernetesConflictError(KubernetesRefusedError):
    """409: an object of this name exists already, or a precondition does not hold."""


class ListExpiredError(KubernetesUnavailableError):
    """410 in the middle of a paged list: the list has to be read again from its start."""

    code = "KUBERNETES_LIST_EXPIRED"


class FlinkUnavailableError(TemporaryError):
    """A Flink REST API gave no valid answer: refused, timeout, 5xx, or not Flink's JSON."""

    code = "FLINK_UNAVAILABLE"


class FlinkNotReachedError(FlinkUnavailableError):
    """There was no connection to a Flink REST API: what was to be sent cannot have arrived."""


class FlinkUntrustedError(FlinkUnavailableError):
    """The certificate of a Flink REST API is not trusted, or the file of authorities cannot be read."""

    code = "FLINK_CERTIFICATE"


class FlinkCredentialError(FlinkUnavailableError):
    """A Flink REST API wants a credential, or another one, or our own cannot be read."""

    code = "FLINK_CREDENTIAL"


class SyncUnavailableError(TemporaryError):
    """The sync function gave no valid answer, or its address is not configured."""

    code = "SYNC_UNAVAILABLE"


class SubmitUnavailableError(TemporaryError):
    """The submit function gave no valid answer, or its address is not configured."""

    code = "SUBMIT_UNAVAILABLE"


class SchedulerRefusedError(PermanentError):
    """Cloud Scheduler answered and refused."""

    http_status = 502
    code = "SCHEDULER_REFUSED"


class SchedulerUnavailableError(TemporaryError):
    """Cloud Scheduler gave no valid answer."""

    code = "SCHEDULER_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body, or `header:NAME` / `query:NAME`.
        detail: what is wrong with it, for people.
    """

    pointer: str
    detail: str


def json_pointer(location: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) to this place."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def describe_faults(faults: Iterable[Fault]) -> str:
    """All faults in one line."""
    return "; ".join(f"{fault.pointer} {fault.detail}" for fault in faults)


class BadRequestError(PermanentError):
    """The request is wrong; nothing was changed.

    Attributes:
        faults: every fault found, not only the first.
    """

    http_status = 400
    code = "BAD_REQUEST"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class BodyTooLargeError(BadRequestError):
    """The body is larger than the function accepts."""

    http_status = 413
    code = "BODY_TOO_LARGE"


class MethodNotAllowedError(BadRequestError):
    """The path exists, but not for this method.

    Attributes:
        allow: the value of the `Allow` header.
    """

    http_status = 405
    code = "METHOD_NOT_ALLOWED"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class UnsupportedMediaTypeError(BadRequestError):
    """The body is declared as a type that the function does not read."""

    http_status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"


class UnauthorizedError(BadRequestError):
    """The request carries no valid signature. Says no more than that."""

    http_status = 401
    code = "UNAUTHORIZED"


class KeyReusedError(BadRequestError):
    """The idempotency key was used before, with another request."""

    http_status = 422
    code = "IDEMPOTENCY_KEY_REUSED"


class InFlightError(TemporaryError):
    """The first request with this idempotency key is still being worked on."""

    http_status = 409
    code = "IN_FLIGHT"


class TemplateMissingError(BadRequestError):
    """There is no such template, and the request does not say what to run."""

    http_status = 404
    code = "TEMPLATE_MISSING"


class TemplateUnusableError(BadRequestError):
    """The template is not active, or holds values that cannot be run."""

    http_status = 409
    code = "TEMPLATE_UNUSABLE"


class ForbiddenError(BadRequestError):
    """The request does not come from our own page, or lacks the header that only our own callers send."""

    http_status = 403
    code = "FORBIDDEN"


class JobNotFoundError(BadRequestError):
    """No record has this id."""

    http_status = 404
    code = "JOB_NOT_FOUND"


class NotFoundError(BadRequestError):
    """Nothing answers at this path."""

    http_status = 404
    code = "NOT_FOUND"


class FunctionUnavailableError(TemporaryError):
    """A deployed function gave no valid answer, or is not ready."""

    code = "FUNCTION_UNAVAILABLE"

    def __init__(self, message: str, *, is_own: bool = False, peer_code: str | None = None) -> None:
        """Args:
        message: for people.
        is_own: the function itself said that it cannot; else it is not known whether it was reached.
        peer_code: the code of its problem details.
        """
        super().__init__(message)
        self.is_own = is_own
        self.peer_code = peer_code


class NoFunctionError(FunctionUnavailableError):
    """Another service answered instead of the function: a login or a proxy.

    It may go away, as a proxy's page does; to send the same again at once is of no use.
    """


class FunctionRefusedError(BadRequestError):
    """A deployed function, or a proxy before it, refused the request.

    Attributes:
        peer_code: the code of its problem details; the HTTP status where there is none.
        peer_status: its HTTP status.
    """

    http_status = 502
    code = "FUNCTION_REFUSED"

    def __init__(
        self, message: str, faults: tuple[Fault, ...] = (), *, peer_code: str, peer_status: int
    ) -> None:
        super().__init__(message, faults)
        self.peer_code = peer_code
        self.peer_status = peer_status


def code_of(error: FlinkjobsError) -> str:
    """The stable code of an error: where a function answered it, the code in its answer."""
    return getattr(error, "peer_code", None) or error.code


NAMELESS: Final = '""'
"""How a fault names a parameter whose name is empty."""
