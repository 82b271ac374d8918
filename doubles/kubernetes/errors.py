"""The API's errors: each is a `Status` object with the code, reason and wording of a kube-apiserver."""

from dataclasses import dataclass

from doubles.kubernetes.objects import Obj, Resource


class ApiError(Exception):
    """A refusal, ready to be sent."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Obj | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Args: HTTP code, Kubernetes reason (may be empty), text, details for programs, extra headers."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> Obj:
        """The body."""
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return body


@dataclass(frozen=True, slots=True)
class Cause:
    """One faulty field of a rejected object."""

    path: str
    problem: str
    """As in `Required value` or `Invalid value: "x": why`."""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def invalid(resource: Resource, name: str, causes: list[Cause]) -> ApiError:
    """422: the object was understood and breaks rules."""
    text = str(causes[0]) if len(causes) == 1 else f"[{', '.join(map(str, causes))}]"
    details = {
        "name": name,
        "group": resource.group,
        "kind": resource.kind,
        "causes": [{"message": cause.problem, "field": cause.path} for cause in causes],
    }
    return ApiError(
        422, "Invalid", f'{resource.qualified_kind} "{name}" is invalid: {text}', details=_dense(details)
    )


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(
        404, "NotFound", f'{resource.qualified} "{name}" not found', details=_details(resource, name)
    )


def already_exists(resource: Resource, name: str, *, being_deleted: bool = False) -> ApiError:
    """409 to a create; names the deletion if a finalizer or a grace period still holds the old object."""
    message = f'{resource.qualified} "{name}" already exists'
    if being_deleted:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, details=_details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """409 to a change whose precondition does not hold."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(resource, name))


def failed_precondition(resource: Resource, name: str, why: str) -> ApiError:
    """409 to a deletion whose precondition does not hold: names the kind in place of the resource."""
    message = f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": {why}'
    details = {**_details(resource, name), "kind": resource.kind}
    return ApiError(409, "Conflict", message, details=details)


def bad_request(message: str) -> ApiError:
    """400: the request itself is malformed."""
    return ApiError(400, "BadRequest", message)


def forbidden(message: str, *, resource: Resource | None = None) -> ApiError:
    """403: known, and not allowed."""
    return ApiError(403, "Forbidden", message, details=_details(resource, "") if resource else None)


def unauthorized() -> ApiError:
    """401: the credentials are not known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    """410: the resource version asked for is no longer kept."""
    return ApiError(410, "Expired", message)


def method_not_allowed() -> ApiError:
    """405."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def unsupported_media_type(accepted: str) -> ApiError:
    """415."""
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", message)


def _details(resource: Resource, name: str) -> Obj:
    return _dense({"name": name, "group": resource.group, "kind": resource.plural})


def _dense(details: Obj) -> Obj:
    return {name: value for name, value in details.items() if value != ""}
