"""The settings: one frozen value read from a mapping, once, at start. Nothing else reads the environment."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from flinkjobs.errors import SettingsError, cut

T = TypeVar("T")

DEFAULT_CLUSTER: Final = "default"
"""Name of the cluster that `FLINK_REST_URL` describes."""

K8S_AUTH_MODES: Final = ("auto", "incluster", "kubeconfig")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_HOST_PORT: Final = re.compile(r"[A-Za-z0-9.\-\[\]:]+:\d{1,5}")
_DATABASE: Final = re.compile(r"[^/\\. \"$*<>:|?\0]{1,63}")
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class FlinkCluster:
    """One Flink session cluster.

    Attributes:
        rest_url: base URL of its REST API, without a slash at the end.
        history_url: base URL of its History Server, or None.
        jobmanager: `host:port` for `flink run -m`.
    """

    name: str
    rest_url: str
    history_url: str | None
    jobmanager: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. Attributes carry the names of the environment in lower case."""

    mongodb_uri: str = field(repr=False)
    mongodb_database: str
    flink_clusters: Mapping[str, FlinkCluster]
    flink_image: str
    flink_bin: str
    k8s_namespace: str
    k8s_image_pull_secrets: tuple[str, ...]
    k8s_service_account: str | None
    k8s_auth: str
    kubeconfig: str | None
    submit_timeout_seconds: int
    sync_budget_seconds: int
    lost_after_seconds: int
    cleanup_retention_hours: float
    cleanup_unharvested_hours: float
    cleanup_max_deletions: int
    webhook_secrets: tuple[str, ...] = field(repr=False)
    allowed_script_hosts: frozenset[str]
    log_level: str


def read_settings(environ: Mapping[str, str], *, required: Collection[str] = ()) -> Settings:
    """Reads and checks all settings.

    Args:
        environ: usually `os.environ`. An empty value counts as not set.
        required: names that must be set for the function that starts, beyond those that always must.

    Raises:
        SettingsError: a value is missing or wrong; one line that names the variable. A secret's value
            is never part of it.
    """
    env = {name: value.strip() for name, value in environ.items() if value.strip()}
    for name in ("MONGODB_URI", *required):
        if name not in env and not (name == "FLINK_REST_URL" and "FLINK_CLUSTERS" in env):
            raise SettingsError(f"{name} is required and not set")
    read = _Reader(env)
    return Settings(
        mongodb_uri=read.value("MONGODB_URI", "", _mongodb_uri),
        mongodb_database=read.value("MONGODB_DATABASE", "lemo_recommender", _database),
        flink_clusters=_clusters(read),
        flink_image=env.get("FLINK_IMAGE", ""),
        flink_bin=env.get("FLINK_BIN", "/opt/flink/bin/flink"),
        k8s_namespace=read.value("K8S_NAMESPACE", "lemo-dev", _namespace),
        k8s_image_pull_secrets=read.value("K8S_IMAGE_PULL_SECRETS", (), _object_names),
        k8s_service_account=read.value("K8S_SERVICE_ACCOUNT", None, _object_name),
        k8s_auth=read.value("K8S_AUTH", "auto", _one_of(K8S_AUTH_MODES)),
        kubeconfig=env.get("KUBECONFIG"),
        submit_timeout_seconds=read.value("SUBMIT_TIMEOUT_SECONDS", 600, _whole(10, 86_400)),
        sync_budget_seconds=read.value("SYNC_BUDGET_SECONDS", 120, _whole(1, 3_600)),
        lost_after_seconds=read.value("LOST_AFTER_SECONDS", 600, _whole(0, 604_800)),
        cleanup_retention_hours=read.value("CLEANUP_RETENTION_HOURS", 24.0, _hours),
        cleanup_unharvested_hours=read.value("CLEANUP_UNHARVESTED_HOURS", 168.0, _hours),
        cleanup_max_deletions=read.value("CLEANUP_MAX_DELETIONS", 2000, _whole(1, 1_000_000)),
        webhook_secrets=read.value("WEBHOOK_SECRETS", (), _webhook_secrets),
        allowed_script_hosts=read.value("ALLOWED_SCRIPT_HOSTS", frozenset(), _hosts),
        log_level=read.value("LOG_LEVEL", "INFO", _one_of(LOG_LEVELS)),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    env: Mapping[str, str]

    def value(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """The parsed value, or the default where the variable is not set."""
        if name not in self.env:
            return default
        try:
            return parse(self.env[name])
        except ValueError as error:
            raise SettingsError(f"{name} {error}") from None


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {cut(text, 40)!r}")
        return int(text)

    return parse


def _hours(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", text):
        raise ValueError(f"must be a number of hours, not {cut(text, 40)!r}")
    return float(text)


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {cut(text, 40)!r}")
        return text

    return parse


def _mongodb_uri(text: str) -> str:
    if not text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("must begin with mongodb:// or mongodb+srv://")
    return text


def _database(text: str) -> str:
    if not _DATABASE.fullmatch(text):
        raise ValueError(f"must be a MongoDB database name, not {cut(text, 80)!r}")
    return text


def _namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise ValueError(f"must be a Kubernetes namespace, not {cut(text, 80)!r}")
    return text


def _object_name(text: str) -> str | None:
    if not _OBJECT_NAME.fullmatch(text):
        raise ValueError(f"must be the name of a Kubernetes object, not {cut(text, 80)!r}")
    return text


def _object_names(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        _object_name(name)
    return names


def _hosts(text: str) -> frozenset[str]:
    hosts = text.replace(",", " ").lower().split()
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"must hold host names, not {cut(host, 80)!r}")
    return frozenset(hosts)


def _webhook_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(text.split())
    for secret in secrets:
        text = secret.removeprefix("whsec_").rstrip("=")  # the padding may be left out
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:  # noqa: PLR2004 - Standard Webhooks
            raise ValueError("must hold secrets of whsec_ and 24 to 64 bytes in base64, separated by spaces")
    return secrets


def _http_url(text: object) -> str:
    if isinstance(text, str) and not re.search(r"[\s\x00-\x1f\x7f]", text):
        try:
            parts = urlsplit(text)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets without an IPv6 address, a port that is none
            has_host = False
        if has_host and parts.scheme in ("http", "https") and not parts.query and not parts.fragment:
            return text.rstrip("/")
    raise ValueError(f"must be an http or https URL, not {cut(_without_password(text), 120)!r}")


def _without_password(url: object) -> str:
    return re.sub(r"//.*@", "//…@", str(url))


def _jobmanager(text: object) -> str:
    if isinstance(text, str) and _HOST_PORT.fullmatch(text):
        return text
    raise ValueError(f"must be host:port, not {cut(str(text), 120)!r}")


def _address_of(rest_url: str) -> str:
    parts = urlsplit(rest_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _clusters(read: _Reader) -> Mapping[str, FlinkCluster]:
    clusters: dict[str, FlinkCluster] = {}
    rest_url = read.value("FLINK_REST_URL", None, _http_url)
    if rest_url is not None:
        clusters[DEFAULT_CLUSTER] = FlinkCluster(
            name=DEFAULT_CLUSTER,
            rest_url=rest_url,
            history_url=read.value("FLINK_HISTORY_URL", None, _http_url),
            jobmanager=read.value("FLINK_JOBMANAGER", _address_of(rest_url), _jobmanager),
        )
    else:
        for name in ("FLINK_HISTORY_URL", "FLINK_JOBMANAGER"):
            if name in read.env:
                raise SettingsError(f"{name} describes the cluster of FLINK_REST_URL, which is not set")
    none: tuple[FlinkCluster, ...] = ()
    for cluster in read.value("FLINK_CLUSTERS", none, _several_clusters):
        if cluster.name in clusters:
            raise SettingsError(f"FLINK_CLUSTERS names {cluster.name!r}, which FLINK_REST_URL describes")
        clusters[cluster.name] = cluster
    return MappingProxyType(clusters)


def _several_clusters(text: str) -> tuple[FlinkCluster, ...]:
    try:
        given = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not isinstance(given, dict) or not given:
        raise ValueError('must be a JSON object like {"batch": {"rest_url": "http://host:8081"}}')
    return tuple(_cluster(name, described) for name, described in given.items())


def _cluster(name: str, described: Any) -> FlinkCluster:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise ValueError(f"holds the name {cut(name, 80)!r}; letters, digits, '.', '_' and '-' are allowed")
    if not isinstance(described, dict) or set(described) - {"rest_url", "history_url", "jobmanager"}:
        raise ValueError(f"{name}: must be an object of rest_url, history_url and jobmanager")
    try:
        rest_url = _http_url(described.get("rest_url"))
        history_url = described.get("history_url")
        return FlinkCluster(
            name=name,
            rest_url=rest_url,
            history_url=None if history_url is None else _http_url(history_url),
            jobmanager=_jobmanager(described.get("jobmanager", _address_of(rest_url))),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
