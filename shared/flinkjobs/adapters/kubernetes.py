"""The Kubernetes API over HTTP, through the official client's authentication, TLS and connection pool.

Only its `ApiClient` is used, with paths and raw JSON: the model layer needs seconds and hundreds of MiB
for lists of ten thousand Jobs, and refuses a whole list for one field that a server omits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from flinkjobs.errors import (
    KubernetesConflictError,
    KubernetesNotFoundError,
    KubernetesRefusedError,
    KubernetesUnavailableError,
    KubernetesUnreadableError,
    ListExpiredError,
    SettingsError,
    cut,
)
from flinkjobs.joblog import is_unreadable
from flinkjobs.kube import Event, KubernetesJob, Pod, parse_event, parse_job, parse_pod
from flinkjobs.model import Missing

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 30.0
PAGE_SIZE: Final = 500
LIST_ATTEMPTS: Final = 3
"""How often a list is begun again after its continue token expired (410)."""
LOG_HEAD_BYTES: Final = 2 * 1024 * 1024
LOG_TAIL_LINES: Final = 2_000
LOG_TAIL_BYTES: Final = 1024 * 1024
STREAM_BYTES: Final = 64 * 1024
POOL_SIZE: Final = 16

_UNREADABLE_CONFIG: Final = (TypeError, ValueError, AttributeError, KeyError)
"""What the client raises over a kubeconfig that is YAML, but not a kubeconfig."""
_HTTP_ERROR: Final = 400
_UNAVAILABLE: Final = frozenset({408, 429})
_SERVER_ERROR: Final = 500


class KubernetesApi:
    """`flinkjobs.ports.Cluster` on one namespace. May be shared by threads."""

    def __init__(
        self, api: ApiClient, namespace: str, *, read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    ) -> None:
        self._api = api
        self._timeouts = (CONNECT_TIMEOUT_SECONDS, read_timeout_seconds)
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._core = f"/api/v1/namespaces/{namespace}"

    def create_job(self, manifest: Mapping[str, Any]) -> KubernetesJob:
        created = self._json("POST", self._jobs, body=manifest, query={"fieldValidation": "Strict"})
        return _parsed(parse_job, created, f"POST {self._jobs}")

    def create_config_map(self, manifest: Mapping[str, Any]) -> None:
        self._json("POST", f"{self._core}/configmaps", body=manifest, query={"fieldValidation": "Strict"})

    def job(self, name: str) -> KubernetesJob | Missing:
        path = f"{self._jobs}/{quote(name, safe='')}"
        try:
            return _parsed(parse_job, self._json("GET", path), f"GET {path}")
        except KubernetesNotFoundError:
            return Missing()

    def jobs(self, selector: str) -> Iterator[KubernetesJob]:
        return self._list(self._jobs, {"labelSelector": selector}, parse_job)

    def pods(self, selector: str) -> Iterator[Pod]:
        return self._list(f"{self._core}/pods", {"labelSelector": selector}, parse_pod)

    def events(self, name: str) -> tuple[Event, ...]:
        return tuple(
            self._list(f"{self._core}/events", {"fieldSelector": f"involvedObject.name={name}"}, parse_event)
        )

    def pod_log(self, pod: str, container: str, *, tail: bool = False) -> str | Missing:
        query: dict[str, str] = {"container": container}
        # Together with `tailLines`, `limitBytes` would cut the end off: what is too much is dropped here.
        query |= {"tailLines": str(LOG_TAIL_LINES)} if tail else {"limitBytes": str(LOG_HEAD_BYTES)}
        try:
            raw = self._call(
                "GET", f"{self._core}/pods/{quote(pod, safe='')}/log", query=query, keep_last=tail
            )
        except KubernetesNotFoundError:
            return Missing()
        except KubernetesRefusedError as error:
            if error.reason == "BadRequest" and "waiting to start" in str(error):
                return ""
            if error.reason == "BadRequest" and "not found" in str(error):
                return Missing()  # previous terminated container … not found: the kubelet removed it
            raise
        return Missing() if is_unreadable(raw) else raw.decode(errors="replace")

    def delete_job(self, name: str, uid: str) -> bool:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._json("DELETE", f"{self._jobs}/{quote(name, safe='')}", body=options)
        except KubernetesNotFoundError:
            return False
        return True

    def ping(self) -> None:
        self._json("GET", self._jobs, query={"limit": "1"})

    def _list(
        self, path: str, query: Mapping[str, str], parse: Callable[[Mapping[str, Any]], T]
    ) -> Iterator[T]:
        """Yields every object once, in pages. A list that expired is begun again, without repeats."""
        seen: set[str] = set()
        for attempt in range(LIST_ATTEMPTS):
            token = ""
            try:
                while True:
                    page = self._json(
                        "GET", path, query={**query, "limit": str(PAGE_SIZE), "continue": token}
                    )
                    if not isinstance(page.get("items"), list):
                        raise KubernetesUnavailableError(f"GET {path}: the answer is no list")
                    for item in page["items"]:
                        uid = _parsed(_identity, item, f"GET {path}")
                        if uid not in seen:
                            seen.add(uid)
                            yield _parsed(parse, item, f"GET {path}")
                    token = (page.get("metadata") or {}).get("continue") or ""
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
        raw = self._call(method, path, query=query, body=body)
        try:
            answer = json.loads(raw)
        except ValueError as error:
            raise KubernetesUnavailableError(
                f"{method} {path}: the answer is no JSON: {_start(raw)}"
            ) from error
        if not isinstance(answer, dict):
            raise KubernetesUnavailableError(f"{method} {path}: the answer is no object: {_start(raw)}")
        return answer

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        keep_last: bool = False,
    ) -> bytes:
        """The body of a good answer; with `keep_last` only its last `LOG_TAIL_BYTES`."""
        pairs = [(name, value) for name, value in (query or {}).items() if value]
        headers = {"Accept": "application/json, */*"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = self._api.param_serialize(
                method,
                path,
                query_params=pairs,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._api.call_api(*request, _request_timeout=self._timeouts)
            answer: urllib3.BaseHTTPResponse = response.response
            raw = _last_bytes(answer) if keep_last else answer.data
        except (urllib3.exceptions.HTTPError, ApiException, ConfigException) as error:
            # MaxRetryError repeats pool and URL, and would be cut before it comes to the cause.
            cause = (isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason) or error
            text = cut(" ".join(f"{type(cause).__name__}: {cause}".split()), 200)
            raise KubernetesUnavailableError(f"{method} {path}: {text}") from error
        if response.status >= _HTTP_ERROR:
            raise _refusal(f"{method} {path}", response.status, raw)
        return raw


def _refusal(what: str, status: int, raw: bytes) -> KubernetesRefusedError | KubernetesUnavailableError:
    """The error that a Status object means; without a Status object, the HTTP status alone speaks."""
    reason, message = str(status), _start(raw)
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    is_status = isinstance(answer, dict) and answer.get("kind") == "Status"
    if is_status:
        reason = str(answer.get("reason") or status)
        message = cut(str(answer.get("message", "")))
    text = f"{what}: {status} {reason}: {message}"
    if status >= _SERVER_ERROR or status in _UNAVAILABLE:
        return KubernetesUnavailableError(text)
    if status == 410:  # noqa: PLR2004 - Gone: a continue token or a resource version expired
        return ListExpiredError(text)
    kinds = {404: KubernetesNotFoundError, 409: KubernetesConflictError}
    if status in kinds and not is_status:  # a proxy's 404 says nothing about any object
        return KubernetesUnavailableError(text)
    return kinds.get(status, KubernetesRefusedError)(text, reason=reason, status=status)


def _parsed(parse: Callable[[Mapping[str, Any]], T], raw: Any, what: str) -> T:
    try:
        return parse(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = cut(f"{type(error).__name__}: {error}", 200)
        raise KubernetesUnreadableError(f"{what}: an object that cannot be read: {text}") from error


def _identity(raw: Mapping[str, Any]) -> str:
    uid: str = raw["metadata"].get("uid") or raw["metadata"]["name"]
    return uid


def _last_bytes(response: urllib3.BaseHTTPResponse) -> bytes:
    """Reads an answer to its end without holding more of it than is kept."""
    kept = b""
    for part in response.stream(STREAM_BYTES):
        kept = (kept + part)[-LOG_TAIL_BYTES:]
    response.release_conn()
    return kept


def _start(raw: bytes) -> str:
    return cut(" ".join(raw[:400].decode(errors="replace").split()), 200) or "(empty)"


def connect(
    namespace: str,
    *,
    auth: str,
    kubeconfig: str | None,
    in_cluster: bool,
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
) -> KubernetesApi:
    """The API server that the settings name.

    Args:
        namespace: where the Jobs live.
        auth: `auto` (in the cluster when there, else kubeconfig), `incluster` or `kubeconfig`.
        kubeconfig: path of the kubeconfig file; None means the client's default place.
        in_cluster: whether this process runs in a pod.
        read_timeout_seconds: longest silence of the API server.

    Raises:
        SettingsError: the credentials cannot be loaded.
    """
    configuration = Configuration()
    try:
        if auth == "incluster" or (auth == "auto" and in_cluster):
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, client_configuration=configuration
            )
    except (ConfigException, OSError, yaml.YAMLError, *_UNREADABLE_CONFIG) as error:
        raise SettingsError(f"K8S_AUTH {auth}: {cut(' '.join(str(error).split()), 200)}") from error
    # Nothing is repeated behind our back, but a connection that could not even be opened.
    configuration.retries = urllib3.Retry(total=None, connect=1, read=0, redirect=0, status=0, other=0)
    configuration.connection_pool_maxsize = POOL_SIZE
    return KubernetesApi(ApiClient(configuration), namespace, read_timeout_seconds=read_timeout_seconds)
