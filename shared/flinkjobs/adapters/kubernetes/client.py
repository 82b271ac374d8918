"""The Kubernetes API over HTTP, through the official client's authentication, TLS and connection pool.

Only its `ApiClient` is used, with paths and raw JSON: the model layer needs seconds and hundreds of MiB
for lists of ten thousand Jobs, and refuses a whole list for one field that a server omits.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
import urllib3
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

from flinkjobs import USER_AGENT
from flinkjobs.adapters.kubernetes.auth import Access, Authorization, access
from flinkjobs.adapters.kubernetes.parsing import (
    Body,
    parse_cleanup_target,
    parse_event,
    parse_identity,
    parse_job,
    parse_object,
    parse_page,
    parse_pod,
)
from flinkjobs.domain.errors import (
    KubernetesConflictError,
    KubernetesCredentialError,
    KubernetesNotFoundError,
    KubernetesRefusedError,
    KubernetesThrottledError,
    KubernetesUnavailableError,
    KubernetesUnreadableError,
    ListExpiredError,
)
from flinkjobs.domain.kubernetes_objects import CleanupTarget, Event, Kind, KubernetesJob, Pod
from flinkjobs.domain.observations import Missing
from flinkjobs.domain.permissions import AccessReview, Permission
from flinkjobs.domain.submitter_log import is_unreadable
from flinkjobs.domain.text import cut
from flinkjobs.domain.versions import MINIMUM_VERSIONS
from flinkjobs.ports.kubernetes import TAIL_LINES, Deletion

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 30.0
"""Longest silence in the middle of an answer."""
ANSWER_TIMEOUT_SECONDS: Final = 60.0
"""How long one answer may take in all, however steadily it trickles in."""
PAGE_SIZE: Final = 500
LIST_ATTEMPTS: Final = 3
"""How often a list is begun again after its continue token expired (410)."""
LOG_HEAD_BYTES: Final = 2 * 1024 * 1024
LOG_TAIL_BYTES: Final = 1024 * 1024
LOG_TYPE: Final = "text/plain"
"""Content type of every log: https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/core/pod/rest/log.go"""
NO_LOG: Final = ("not found", "is not available", "is terminated", "cannot be found")
"""What a kubelet says with a 400 where it has no log, or none any more: it has never started the container,
has removed it, or does not know the pod (`validateContainerLogStatus` in
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kubelet_pods.go)."""
NO_PERMISSION: Final = re.compile(r'forbidden: User ".*" cannot ')
"""How the API server words that a permission is missing. Admission (a quota, a policy, a webhook) answers 403
too, in other words: https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/responsewriters/errors.go"""
STREAM_BYTES: Final = 64 * 1024
POOL_SIZE: Final = 16

_NEWEST_FIELD: Final = "podReplacementPolicy"
"""The field of our Jobs that an API server below the minimum version does not know."""
_HTTP_ERROR: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_UNAVAILABLE: Final = frozenset({408})
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_OVERLOADED: Final = 503


class KubernetesApi:
    """`flinkjobs.ports.kubernetes.KubernetesCleanupClient` on one namespace. May be shared by threads."""

    def __init__(
        self,
        api: ApiClient,
        namespace: str,
        *,
        authorization: Authorization | None,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        until: float = math.inf,
    ) -> None:
        self._api = api
        self._until = until
        self._authorization = authorization
        self._read_timeout_seconds = read_timeout_seconds
        self._namespace = namespace
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._core = f"/api/v1/namespaces/{namespace}"
        self._paths = {
            Kind.JOB: self._jobs,
            Kind.POD: f"{self._core}/pods",
            Kind.CONFIG_MAP: f"{self._core}/configmaps",
        }

    def until(self, moment: float) -> KubernetesApi:
        return self._copy(self._namespace, moment)

    def in_namespace(self, namespace: str | None) -> KubernetesApi:
        return self._copy(namespace or self._namespace, self._until)

    def _copy(self, namespace: str, until: float) -> KubernetesApi:
        return KubernetesApi(
            self._api,
            namespace,
            authorization=self._authorization,
            read_timeout_seconds=self._read_timeout_seconds,
            until=until,
        )

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        try:
            raw, _ = self._call("POST", self._jobs, body=manifest, query={"fieldValidation": "Strict"})
        except KubernetesRefusedError as error:
            if f'unknown field "spec.{_NEWEST_FIELD}"' not in str(error):
                raise
            message = f"flinkjobs needs Kubernetes {MINIMUM_VERSIONS['Kubernetes']} or newer: {error}"
            raise KubernetesRefusedError(message, reason=error.reason, status=error.status) from error
        return _parsed(parse_job, raw, f"POST {self._jobs}")

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        self._json("POST", f"{self._core}/configmaps", body=manifest, query={"fieldValidation": "Strict"})

    def job(self, name: str) -> KubernetesJob | Missing:
        path = f"{self._jobs}/{quote(name, safe='')}"
        try:
            raw, _ = self._call("GET", path)
        except KubernetesNotFoundError:
            return Missing()
        return _parsed(parse_job, raw, f"GET {path}")

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        return self._list(self._jobs, {"labelSelector": selector}, parse_job)

    def pods(self, selector: str) -> Iterator[Pod]:
        return self._list(f"{self._core}/pods", {"labelSelector": selector}, parse_pod)

    def running_pods(self, selector: str) -> Iterator[Pod]:
        query = {"labelSelector": selector, "fieldSelector": "status.phase=Running"}
        return self._list(f"{self._core}/pods", query, parse_pod)

    def events(self, name: str) -> tuple[Event, ...]:
        return tuple(
            self._list(f"{self._core}/events", {"fieldSelector": f"involvedObject.name={name}"}, parse_event)
        )

    def all_events(self) -> Iterator[Event]:
        return self._list(f"{self._core}/events", {}, parse_event)

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        query: dict[str, str] = {"container": container}
        # Together with `tailLines`, `limitBytes` would cut the end off: what is too much is dropped here.
        query |= {"tailLines": str(TAIL_LINES)} if tail else {"limitBytes": str(LOG_HEAD_BYTES)}
        path = f"{self._core}/pods/{quote(pod, safe='')}/log"
        try:
            raw, headers = self._call("GET", path, query=query, keep_last=tail)
        except KubernetesNotFoundError:
            return Missing()
        except KubernetesRefusedError as error:
            if error.reason == "BadRequest" and "waiting to start" in str(error):
                return ""
            if error.reason == "BadRequest" and any(words in str(error) for words in NO_LOG):
                return Missing()
            raise
        kind = headers.get("Content-Type", LOG_TYPE).partition(";")[0].strip().lower()
        if kind != LOG_TYPE:  # some proxy's page, in which no id stands
            raise KubernetesUnavailableError(f"GET {path}: the answer is no log but {kind}: {_start(raw)}")
        return Missing() if is_unreadable(raw) else raw.decode(errors="replace")

    def delete_job(self, name: str, uid: str) -> bool:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._json("DELETE", f"{self._jobs}/{quote(name, safe='')}", body=options)
        except KubernetesNotFoundError:
            return False
        return True

    def time(self) -> datetime:
        what = f"GET {self._jobs}"
        raw, headers = self._call("GET", self._jobs, query={"limit": "1"})
        _parsed(parse_object, raw, what)  # not some proxy's page, with the proxy's clock
        try:
            return parsedate_to_datetime(headers.get("Date") or "").astimezone(UTC)
        except ValueError as error:
            raise KubernetesUnavailableError(f"{what}: the answer names no date") from error

    def cleanup_targets(self, kind: Kind, selector: str) -> Iterator[CleanupTarget]:
        return self._list(self._paths[kind], {"labelSelector": selector}, partial(parse_cleanup_target, kind))

    def delete(self, target: CleanupTarget) -> Deletion:
        preconditions = {"uid": target.uid, "resourceVersion": target.resource_version}
        options = {"propagationPolicy": "Background", "preconditions": preconditions}
        path = f"{self._paths[target.kind]}/{quote(target.name, safe='')}"
        try:
            answer = self._json("DELETE", path, body=options)
        except KubernetesNotFoundError:
            return Deletion.GONE
        # The answer is a Status, or the object: as it was last, or as long as a finalizer holds it.
        return Deletion.BEGUN if (answer.get("metadata") or {}).get("finalizers") else Deletion.DONE

    def ping(self) -> None:
        self._json("GET", self._jobs, query={"limit": "1"})

    def close(self) -> None:
        """Closes the connections. Harmless when repeated."""
        self._api.rest_client.pool_manager.clear()

    @property
    def address(self) -> str:
        return str(self._api.configuration.host)

    def version(self) -> str:
        return str(self._json("GET", "/version").get("gitVersion"))

    def who_we_are(self) -> str:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._json("POST", f"/apis/{review['apiVersion']}/selfsubjectreviews", body=review)
        return _parsed(lambda raw: str(raw["status"]["userInfo"]["username"]), answer, "SelfSubjectReview")

    def review(self, permission: Permission) -> AccessReview:
        resource, _, subresource = permission.resource.partition("/")
        attributes = {
            "namespace": self._namespace,
            "verb": permission.verb,
            "group": permission.group,
            "resource": resource,
            "subresource": subresource,
        }
        asked = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._json("POST", f"/apis/{asked['apiVersion']}/selfsubjectaccessreviews", body=asked)
        allowed = _parsed(lambda raw: raw["status"]["allowed"] is True, answer, "SelfSubjectAccessReview")
        return AccessReview(permission=permission, allowed=allowed, namespace=self._namespace)

    def _list(self, path: str, query: Mapping[str, str], parse: Callable[[Body], T]) -> Iterator[T]:
        """Yields every object once, in pages. A list that expired is begun again, without repeats."""
        seen: set[str] = set()
        for attempt in range(LIST_ATTEMPTS):
            token = ""
            try:
                while True:
                    page = {**query, "limit": str(PAGE_SIZE), "continue": token}
                    raw, _ = self._call("GET", path, query=page)
                    items, token = _page(raw, f"GET {path}")
                    for item in items:
                        identity = _parsed(parse_identity, item, f"GET {path}")
                        uid = identity.uid or identity.name
                        if uid not in seen:
                            seen.add(uid)
                            yield _parsed(parse, item, f"GET {path}")
                    if not token:
                        return
            except ListExpiredError:
                if attempt == LIST_ATTEMPTS - 1:
                    raise

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        raw, _ = self._call(method, path, query=query, body=body)
        return _parsed(parse_object, raw, f"{method} {path}")

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        keep_last: bool = False,
    ) -> tuple[bytes, Mapping[str, str]]:
        """The body of a good answer, with `keep_last` only its last `LOG_TAIL_BYTES`, and its headers."""
        began = time.monotonic()
        left = min(self._until - began, ANSWER_TIMEOUT_SECONDS)
        if left <= 0:
            raise KubernetesUnavailableError(f"{method} {path}: there was no time left to ask")
        timeouts = (min(CONNECT_TIMEOUT_SECONDS, left), min(self._read_timeout_seconds, left))
        pairs = [(name, value) for name, value in (query or {}).items() if value]
        headers = {"Accept": "application/json, */*"}
        if self._authorization is not None:
            headers["Authorization"] = self._authorization()
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = self._api.param_serialize(
                method, path, query_params=pairs, header_params=headers, body=body
            )
            response = self._api.call_api(*request, _request_timeout=timeouts)
            answer: urllib3.HTTPResponse = response.response
            raw = _read(answer, until=began + left, keep_last=LOG_TAIL_BYTES if keep_last else None)
        except (urllib3.exceptions.HTTPError, ApiException) as error:
            # MaxRetryError repeats pool and URL, and would be cut before it comes to the cause.
            cause = (isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason) or error
            text = cut(" ".join(f"{type(cause).__name__}: {cause}".split()), 200)
            raise KubernetesUnavailableError(f"{method} {path}: {text}") from error
        if response.status >= _HTTP_ERROR:
            raise _refusal(f"{method} {path}", response.status, raw, answer.headers.get("Retry-After"))
        return raw, answer.headers


def _refusal(
    what: str, status: int, raw: bytes, retry_after: str | None
) -> KubernetesRefusedError | KubernetesUnavailableError:
    """The error that a Status object means; without a Status object, the HTTP status alone speaks."""
    reason, message = str(status), _start(raw)
    try:
        answer = parse_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = {}
    is_status = answer.get("kind") == "Status"
    if is_status:
        reason = str(answer.get("reason") or status)
        message = cut(str(answer.get("message", "")))
    text = f"{what}: {status} {reason}: {message}"
    if status == _TOO_MANY_REQUESTS or (status == _OVERLOADED and retry_after is not None):
        return KubernetesThrottledError(text, retry_after_seconds=_seconds(retry_after))
    if status >= _SERVER_ERROR or status in _UNAVAILABLE:
        return KubernetesUnavailableError(text)
    if status == 410:  # noqa: PLR2004 - Gone: a continue token or a resource version expired
        return ListExpiredError(text)
    kinds = {404: KubernetesNotFoundError, 409: KubernetesConflictError}
    if status in kinds and not is_status:  # a proxy's 404 says nothing about any object
        return KubernetesUnavailableError(text)
    # A 403 that is not of the API server comes from what stands before it, as IAM does before GKE.
    if status == _UNAUTHORIZED or (status == _FORBIDDEN and (not is_status or NO_PERMISSION.search(message))):
        return KubernetesCredentialError(text, reason=reason, status=status)
    return kinds.get(status, KubernetesRefusedError)(text, reason=reason, status=status)


def _page(raw: bytes, what: str) -> tuple[list[msgspec.Raw], str]:
    """The items of a list, and the token of the next page. Of what is no list, nothing can be read."""
    try:
        return _parsed(parse_page, raw, what)
    except KubernetesUnreadableError as error:
        raise KubernetesUnavailableError(f"{what}: the answer is no list: {_start(raw)}") from error


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds, as the API server writes it; a date there counts as if nothing was said."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


def _parsed(parse: Callable[[Any], T], raw: Any, what: str) -> T:
    try:
        return parse(raw)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        text = cut(f"{type(error).__name__}: {error}", 200)
        raise KubernetesUnreadableError(f"{what}: an object that cannot be read: {text}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KubernetesUnavailableError(f"{what}: the answer is no JSON: {_start(raw)}") from error


def _read(answer: urllib3.HTTPResponse, *, until: float, keep_last: int | None) -> bytes:
    """Reads an answer to its end, holding no more of it than is kept, and gives it up when time is up."""
    kept = bytearray()
    while part := answer.read1(STREAM_BYTES):
        kept += part
        if keep_last is not None:
            del kept[:-keep_last]
        if time.monotonic() > until:
            answer.close()
            raise urllib3.exceptions.TimeoutError("the answer did not end in time")
    answer.release_conn()
    return bytes(kept)


def _start(raw: bytes | msgspec.Raw) -> str:
    return cut(" ".join(bytes(raw)[:400].decode(errors="replace").split()), 200) or "(empty)"


def connect(
    namespace: str,
    *,
    auth: str,
    kubeconfig: str | None = None,
    gke_cluster: str | None = None,
    in_cluster: bool = False,
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
) -> KubernetesApi:
    """The API server that the settings name.

    Args:
        namespace: where the Jobs live.
        auth: a value of `K8S_AUTH`; it and the three after it as in `kubernetes_auth.access`.
        kubeconfig: path of the kubeconfig file.
        gke_cluster: full name of a GKE cluster.
        in_cluster: whether this process runs in a pod.
        read_timeout_seconds: longest silence of the API server.

    Raises:
        SettingsError: there are no such credentials, or none that can be used.
        KubernetesUnavailableError: with `gke`, Google did not answer.
    """
    found = access(auth, kubeconfig=kubeconfig, gke_cluster=gke_cluster, in_cluster=in_cluster)
    return client(found, namespace, read_timeout_seconds=read_timeout_seconds)


def client(
    found: Access, namespace: str, *, read_timeout_seconds: float = READ_TIMEOUT_SECONDS
) -> KubernetesApi:
    """A client of this API server. Sends no request yet."""
    configuration = found.configuration
    # Nothing is repeated behind our back, but a connection that could not even be opened.
    configuration.retries = urllib3.Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0)
    configuration.connection_pool_maxsize = POOL_SIZE
    api = ApiClient(configuration)
    api.user_agent = USER_AGENT
    return KubernetesApi(
        api,
        namespace,
        authorization=found.authorization,
        read_timeout_seconds=read_timeout_seconds,
    )
