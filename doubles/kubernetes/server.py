"""Serving: faults applied to answers, the control endpoint, the clock of the `Date` header."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
from aiohttp import web

from doubles.kubernetes.api import Api, admin_only
from doubles.kubernetes.authorization import RoleAuthorizer, Rule
from doubles.kubernetes.bulk_jobs import add_finished_jobs
from doubles.kubernetes.errors import ApiError, bad_request
from doubles.kubernetes.faults import Fault, FaultBook, FinishedJobs, Outcome, PodFault, Request, RequestFault
from doubles.kubernetes.kubelet import Node
from doubles.kubernetes.log_endpoint import choose_container
from doubles.kubernetes.objects import PODS, utc_now
from doubles.kubernetes.pod_status import ADDRESS
from doubles.kubernetes.requests import Answer, Call, RequestCounter, error_answer, json_answer, parse_target

MAX_BODY_BYTES = 64 * 1024 * 1024
CONTROL = "/_control/"
KUBELET = f"{ADDRESS}:10250"
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user other than the admin: a token, and the rules of a Role in each of these namespaces."""

    token: str
    rules: tuple[Rule, ...]
    namespaces: tuple[str, ...] = ()


class Clock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the `Date` header is ahead of the true time."""

    offset_seconds: float


@dataclass(slots=True)
class Server:
    """Everything a request can reach."""

    api: Api
    faults: FaultBook
    node: Node
    authorizer: RoleAuthorizer
    namespace: str
    source: random.Random
    counter: RequestCounter = field(default_factory=RequestCounter)
    clock: Clock = field(default_factory=lambda: Clock(0.0))

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request from its first byte to the last of its answer."""
        target = parse_target(request.method, request.path, request.query)
        call = Call(
            request.method, request.path, request.query, request.headers, await request.read(), target
        )
        if request.path.startswith(CONTROL):
            return await self._send(request, self._control(call), [])
        self.counter.count(target)
        described = Request(
            request.method, request.path_qs, target.verb, target.label, bool(request.query.get("continue"))
        )
        faults = self.faults.for_request(described)
        if any(fault.effect == "drop" for fault in faults):
            _close(request)
            return web.Response()
        replacements = (self._replacement(fault, call) for fault in faults)
        answer = next(filter(None, replacements), None) or self.api.answer(call)
        for fault in faults:
            if fault.effect == "delay":
                await asyncio.sleep(fault.seconds)
        return await self._send(request, answer, faults)

    # --- faults -------------------------------------------------------------------------------------------

    def _replacement(self, fault: RequestFault, call: Call) -> Answer | None:
        """What the fault answers in place of the API; None when it leaves the answer's making to it."""
        match fault.effect:
            case "status":
                return error_answer(_status_error(fault))
            case "malformed":
                return Answer(b'{"kind": "List", "items": [{"metadata": {"name": ')
            case "log-gone-404":
                name = call.target.name
                message = f"the server could not find the requested resource ( pods/log {name})"
                return error_answer(ApiError(404, "NotFound", message))
            case "log-gone-200":
                return self._unavailable_log(call)
            case "log-kubelet-away":
                return self._unreachable_log(call)
        return None

    def _unavailable_log(self, call: Call) -> Answer | None:
        pod = self.api.store.get(PODS, (call.target.namespace or "", call.target.name))
        if pod is None:
            return None
        statuses = pod.get("status", {}).get("containerStatuses", [])
        wanted = call.query.get("container", "")
        identifiers = [one.get("containerID", "") for one in statuses if wanted in ("", one["name"])]
        text = f"unable to retrieve container logs for {(identifiers or [''])[0]}"
        return Answer(text.encode(), content_type="text/plain")

    def _unreachable_log(self, call: Call) -> Answer | None:
        """The Status of a failed connection has no reason; what the API server refuses, it still refuses."""
        pod = self.api.store.get(PODS, (call.target.namespace or "", call.target.name))
        if pod is None or not pod["spec"].get("nodeName"):
            return None
        try:
            container = choose_container(pod, call.query.get("container", ""))
        except ApiError as error:
            return error_answer(error)
        path = f"/containerLogs/{call.target.namespace}/{call.target.name}/{container}"
        message = f'Get "https://{KUBELET}{path}": dial tcp {KUBELET}: connect: connection refused'
        return error_answer(ApiError(500, "", message))

    async def _send(
        self, request: web.Request, answer: Answer, faults: list[RequestFault]
    ) -> web.StreamResponse:
        date = utc_now() + timedelta(seconds=self.clock.offset_seconds)
        headers = {
            "Content-Type": answer.content_type,
            "Date": format_datetime(date, usegmt=True),
            **answer.headers,
        }
        if any(fault.effect == "cut" for fault in faults):
            return await _send_half(request, answer, headers)
        if isinstance(answer.body, bytes):
            return web.Response(status=answer.code, body=answer.body, headers=headers)
        response = web.StreamResponse(status=answer.code, headers=headers)
        await response.prepare(request)
        async for piece in answer.body:
            if piece:
                await response.write(piece)
        await response.write_eof()
        return response

    # --- control ------------------------------------------------------------------------------------------

    def _control(self, call: Call) -> Answer:
        try:
            admin_only(self.api.user_of(call.headers))
            return self._controlled(call)
        except ApiError as error:
            return error_answer(error)
        except msgspec.ValidationError as error:
            return error_answer(bad_request(str(error)))
        except msgspec.DecodeError as error:
            return error_answer(bad_request(str(error)))

    def _controlled(self, call: Call) -> Answer:
        place, _, name = call.path.removeprefix(CONTROL).partition("/")
        operation = {
            "POST faults": self._add_fault,
            "GET faults": self._list_faults,
            "DELETE faults": self._remove_faults,
            "GET requests": self._count_requests,
            "DELETE requests": self._reset_requests,
            "PUT clock": self._set_clock,
            "PUT outcome": self._set_outcome,
            "POST finished-jobs": self._fill,
            "PUT users": self._grant,
            "DELETE users": self._revoke,
        }.get(f"{call.method} {place}")
        if operation is None:
            raise ApiError(404, "NotFound", f"the control endpoint has no {call.method} {call.path}")
        return operation(call.body, name)

    def _add_fault(self, body: bytes, _: str) -> Answer:
        fault: Fault = msgspec.json.decode(body, type=RequestFault | PodFault)
        return json_answer({"id": self.faults.add(fault)}, 201)

    def _list_faults(self, _: bytes, __: str) -> Answer:
        entries = self.faults.entries()
        return json_answer([{"id": number, "hits": hits, "fault": fault} for number, fault, hits in entries])

    def _remove_faults(self, _: bytes, number: str) -> Answer:
        if not number:
            self.faults.clear()
        elif not number.isdigit() or not self.faults.remove(int(number)):
            raise ApiError(404, "NotFound", f"there is no fault {number}")
        return json_answer({})

    def _count_requests(self, _: bytes, __: str) -> Answer:
        return json_answer(self.counter.counts())

    def _reset_requests(self, _: bytes, __: str) -> Answer:
        self.counter.reset()
        return json_answer({})

    def _set_clock(self, body: bytes, _: str) -> Answer:
        self.clock = msgspec.json.decode(body, type=Clock)
        return json_answer(self.clock)

    def _set_outcome(self, body: bytes, _: str) -> Answer:
        self.node.outcome = msgspec.json.decode(body, type=Outcome)
        return json_answer(self.node.outcome)

    def _fill(self, body: bytes, _: str) -> Answer:
        wanted = msgspec.json.decode(body, type=FinishedJobs)
        namespace = wanted.namespace or self.namespace
        names = add_finished_jobs(
            self.api.store, self.api.logs, wanted, namespace=namespace, source=self.source
        )
        return json_answer({"created": len(names)}, 201)

    def _grant(self, body: bytes, user: str) -> Answer:
        grant = msgspec.json.decode(body, type=Grant)
        self._forget_user(user)
        self.api.tokens[grant.token] = user
        self.authorizer.roles[user] = grant.rules
        self.authorizer.namespaces[user] = grant.namespaces or (self.namespace,)
        return json_answer({})

    def _revoke(self, _: bytes, user: str) -> Answer:
        self._forget_user(user)
        return json_answer({})

    def _forget_user(self, user: str) -> None:
        self.authorizer.roles.pop(user, None)
        for token in [token for token, owner in self.api.tokens.items() if owner == user]:
            del self.api.tokens[token]


def _status_error(fault: RequestFault) -> ApiError:
    reason = REASONS.get(fault.status, "Unknown")
    message = {
        "Unauthorized": "Unauthorized",
        "Forbidden": "forbidden: switched off by a fault",
        "Expired": "The provided continue parameter is too old to display a consistent list result.",
        "TooManyRequests": "the server has received too many requests and has asked us to try again later",
        "ServiceUnavailable": "the server is currently unable to handle the request",
        "InternalError": "Internal error occurred: switched on by a fault",
    }.get(reason, f"{reason}: switched on by a fault")
    headers: dict[str, str] = {}
    details: dict[str, Any] | None = None
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
        details = {"retryAfterSeconds": fault.retry_after}
    return ApiError(fault.status, reason, message, details=details, headers=headers)


async def _send_half(request: web.Request, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
    """Send the beginning of an answer and close the connection."""
    body = answer.body if isinstance(answer.body, bytes) else await _first(answer.body)
    response = web.StreamResponse(status=answer.code, headers=headers)
    response.content_length = max(len(body), 2)
    await response.prepare(request)
    await response.write(body[: max(len(body) // 2, 1)] or b" ")
    _close(request)
    return response


async def _first(pieces: AsyncIterator[bytes]) -> bytes:
    async for piece in pieces:
        if piece:
            return piece
    return b""


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
