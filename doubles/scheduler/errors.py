"""The errors of the API: google.rpc codes, their HTTP statuses and their JSON.

https://cloud.google.com/apis/design/errors
"""

from enum import IntEnum


class Code(IntEnum):
    """google.rpc.Code, as far as this API uses it."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.UNIMPLEMENTED: 501,
}
"""The HTTP status of every code this API answers with."""


class ApiError(Exception):
    """A refusal: becomes the HTTP status of its code and a google.rpc.Status in JSON."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        return HTTP_STATUS[self.code]

    def as_json(self) -> dict[str, object]:
        return {"error": {"code": self.http_status, "message": self.message, "status": self.code.name}}


def invalid(message: str) -> ApiError:
    """Returns an INVALID_ARGUMENT error, by far the most frequent one."""
    return ApiError(Code.INVALID_ARGUMENT, message)
