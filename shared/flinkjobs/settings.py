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
from flinkjobs.schedules import NAME, cron_fault

T = TypeVar("T")

DEFAULT_CLUSTER: Final = "default"
"""Name of the cluster that `FLINK_REST_URL` describes."""

K8S_AUTH_MODES: Final = ("auto", "incluster", "kubeconfig", "gke")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_HOST_PORT: Final = re.compile(r"[A-Za-z0-9.\-\[\]:]+:\d{1,5}")
_DATABASE: Final = re.compile(r"[^/\\. \"$*<>:|?\0]{1,63}")
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_GKE_CLUSTER: Final = re.compile(r"projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class FlinkCluster:
    """One Flink session cluster.

    Attributes:
        rest_url: base URL of its REST API, without a slash at the end.
        history_url: base URL of its History Server, or None.
        jobmanager: `host:port` for `flink run -m`.
        ui_url: base URL under which people open its web UI, where that is not `rest_url`.
    """

    name: str
    rest_url: str
    history_url: str | None
    jobmanager: str
    ui_url: str | None = None

    @property
    def web_url(self) -> str:
        """Where a person may look at it; without credentials that the URL may hold."""
        return _without_credentials(self.ui_url or self.rest_url)

    @property
    def history_web_url(self) -> str | None:
        """Where a person may look at jobs that have ended, likewise; None without a History Server."""
        return None if self.history_url is None else _without_credentials(self.history_url)


def _without_credentials(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


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
    gke_cluster: str | None
    submit_timeout_seconds: int
    sync_budget_seconds: int
    lost_after_seconds: int
    cleanup_retention_hours: float
    cleanup_unharvested_hours: float
    cleanup_max_deletions: int
    cleanup_deletions_per_second: int
    webhook_secrets: tuple[str, ...] = field(repr=False)
    allowed_script_hosts: frozenset[str]
    sync_url: str | None
    sync_period_seconds: int
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
    env = _set_values(environ)
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
        gke_cluster=_gke(read),
        submit_timeout_seconds=read.value("SUBMIT_TIMEOUT_SECONDS", 600, _whole(10, 86_400)),
        sync_budget_seconds=read.value("SYNC_BUDGET_SECONDS", 120, _whole(1, 3_600)),
        lost_after_seconds=read.value("LOST_AFTER_SECONDS", 600, _whole(0, 604_800)),
        cleanup_retention_hours=read.value("CLEANUP_RETENTION_HOURS", 24.0, _hours),
        cleanup_unharvested_hours=read.value("CLEANUP_UNHARVESTED_HOURS", 168.0, _hours),
        cleanup_max_deletions=read.value("CLEANUP_MAX_DELETIONS", 2000, _whole(1, 1_000_000)),
        cleanup_deletions_per_second=read.value("CLEANUP_DELETIONS_PER_SECOND", 20, _whole(1, 1_000)),
        webhook_secrets=read.value("WEBHOOK_SECRETS", (), _webhook_secrets),
        allowed_script_hosts=read.value("ALLOWED_SCRIPT_HOSTS", frozenset(), _hosts),
        sync_url=read.value("SYNC_URL", None, _http_url),
        sync_period_seconds=read.value("SYNC_PERIOD_SECONDS", 180, _whole(1, 86_400)),
        log_level=read.value("LOG_LEVEL", "INFO", _one_of(LOG_LEVELS)),
    )


AUTH_MODES: Final = ("auto", "none", "token", "google")


_OF_FUNCTIONS: Final = (
    *("MONGODB_URI", "MONGODB_DATABASE"),
    *("FLINK_REST_URL", "FLINK_HISTORY_URL", "FLINK_CLUSTERS", "FLINK_UI_URL", "FLINK_JOBMANAGER"),
    *("FLINK_IMAGE", "K8S_NAMESPACE", "K8S_AUTH", "GKE_CLUSTER"),
)
"""Settings that lead the functions to their peers. KUBECONFIG is not one of them: kubectl reads it too."""


def has_function_settings(environ: Mapping[str, str]) -> bool:
    """Whether somebody has begun to set what the functions need, so that what is missing is a mistake."""
    return not _set_values(environ).keys().isdisjoint(_OF_FUNCTIONS)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where the functions are, for who calls them from outside.

    Attributes:
        urls: base URL of each function that has one, by its name, without a slash at the end.
        auth: `token`, `google` or `none`; `auto` is settled when it is read.
        token: the bearer token of `token`.
        webhook_secrets: as in `Settings`; the first of them signs what is sent to submit.
    """

    urls: Mapping[str, str]
    auth: str
    token: str | None = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


def read_client_settings(environ: Mapping[str, str]) -> ClientSettings:
    """Reads what a caller of deployed functions needs; none of it is required.

    Raises:
        SettingsError: as `read_settings`.
    """
    read = _Reader(_set_values(environ))
    token = read.value("FLINKJOBS_TOKEN", None, _token)
    auth = read.value("FLINKJOBS_AUTH", "auto", _one_of(AUTH_MODES))
    if auth == "token" and token is None:
        raise SettingsError("FLINKJOBS_TOKEN is required by FLINKJOBS_AUTH=token and not set")
    if auth == "auto":
        auth = "none" if token is None else "token"
    urls = {name: read.value(f"{name.upper()}_URL", None, _http_url) for name in FUNCTIONS}
    return ClientSettings(
        urls=MappingProxyType({name: url for name, url in urls.items() if url is not None}),
        auth=auth,
        token=token,
        webhook_secrets=read.value("WEBHOOK_SECRETS", (), _webhook_secrets),
    )


FUNCTIONS: Final = ("submit", "sync", "cleanup", "jobs")
"""The functions, by the names of their folders."""

SCHEDULED: Final = ("sync", "cleanup")
"""The functions that a schedule triggers."""


@dataclass(frozen=True, slots=True)
class OwnSchedule:
    """One of the two schedules that belong to this system.

    Attributes:
        function: which function it triggers.
        name: its id in Cloud Scheduler.
        cron: as deployed, in unix-cron.
        url: of the function; None where it is not known here.
        attempt_deadline_seconds: how long an attempt waits for its answer.
    """

    function: str
    name: str
    cron: str
    url: str | None
    attempt_deadline_seconds: int


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """Where the schedules are kept, and how they should be.

    Attributes:
        project: of Google Cloud.
        location: such as `europe-west1`.
        endpoint: of a Cloud Scheduler double; None is Google.
        own: the schedules by the name of their function.
        time_zone: in which their expressions are read.
        service_account: whose OIDC token they send; None sends none.
    """

    project: str
    location: str
    endpoint: str | None
    own: Mapping[str, OwnSchedule]
    time_zone: str
    service_account: str | None


def read_schedule_settings(environ: Mapping[str, str]) -> ScheduleSettings:
    """Reads what managing the schedules needs.

    Raises:
        SettingsError: as `read_settings`; SCHEDULER_PARENT is required.
    """
    env = _set_values(environ)
    if "SCHEDULER_PARENT" not in env:
        raise SettingsError("SCHEDULER_PARENT is required and not set: projects/PROJECT/locations/LOCATION")
    read = _Reader(env)
    project, location = read.value("SCHEDULER_PARENT", ("", ""), _scheduler_parent)
    crons = {"sync": "*/3 * * * *", "cleanup": "0 2 * * *"}
    own = {
        name: OwnSchedule(
            function=name,
            name=read.value(f"{name.upper()}_SCHEDULE", f"flinkjobs-{name}", _schedule_name),
            cron=read.value(f"{name.upper()}_CRON", crons[name], _cron),
            url=read.value(f"{name.upper()}_URL", None, _http_url),
            attempt_deadline_seconds=read.value(
                f"{name.upper()}_ATTEMPT_DEADLINE_SECONDS", 165, _whole(15, 1_800)
            ),
        )
        for name in SCHEDULED
    }
    if len({schedule.name for schedule in own.values()}) < len(own):
        raise SettingsError("SYNC_SCHEDULE and CLEANUP_SCHEDULE must be two names")
    return ScheduleSettings(
        project=project,
        location=location,
        endpoint=read.value("SCHEDULER_ENDPOINT", None, _http_url),
        own=MappingProxyType(own),
        time_zone=read.value("SCHEDULER_TIME_ZONE", "Etc/UTC", _time_zone),
        service_account=read.value("SCHEDULER_SERVICE_ACCOUNT", None, _service_account),
    )


def _set_values(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in environ.items() if value.strip()}


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


def _gke(read: _Reader) -> str | None:
    """The cluster for `K8S_AUTH=gke`, which needs one; another explicit way would ignore it."""
    auth, cluster = read.env.get("K8S_AUTH", "auto"), read.value("GKE_CLUSTER", None, _gke_cluster)
    if auth == "gke" and cluster is None:
        raise SettingsError("GKE_CLUSTER is required by K8S_AUTH gke and not set")
    if auth not in ("gke", "auto") and cluster is not None:
        raise SettingsError(f"GKE_CLUSTER has no effect with K8S_AUTH {auth}")
    return cluster


def _gke_cluster(text: str) -> str | None:
    if not _GKE_CLUSTER.fullmatch(text):
        raise ValueError(f"must be projects/…/locations/…/clusters/…, not {cut(text, 120)!r}")
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


def _token(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be a bearer token: printable ASCII without spaces")
    return text


def _scheduler_parent(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"projects/([^/\s]+)/locations/([^/\s]+)", text)
    if found is None:
        raise ValueError(f"must be projects/PROJECT/locations/LOCATION, not {cut(text, 120)!r}")
    return found[1], found[2]


def _schedule_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"must be letters, digits, '-' and '_', not {cut(text, 80)!r}")
    return text


def _cron(text: str) -> str:
    if (wrong := cron_fault(text)) is not None:
        raise ValueError(f"is no cron expression: {wrong}")
    return text


def _time_zone(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_+/-]{1,80}", text):
        raise ValueError(f"must be a name of the tz database, not {cut(text, 80)!r}")
    return text


def _service_account(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError(f"must be the e-mail address of a service account, not {cut(text, 120)!r}")
    return text


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
            ui_url=read.value("FLINK_UI_URL", None, _http_url),
        )
    else:
        for name in ("FLINK_HISTORY_URL", "FLINK_JOBMANAGER", "FLINK_UI_URL"):
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
    if not isinstance(described, dict) or set(described) - {
        "rest_url",
        "history_url",
        "jobmanager",
        "ui_url",
    }:
        raise ValueError(f"{name}: must be an object of rest_url, history_url, jobmanager and ui_url")
    try:
        rest_url = _http_url(described.get("rest_url"))
        history_url, ui_url = described.get("history_url"), described.get("ui_url")
        return FlinkCluster(
            name=name,
            rest_url=rest_url,
            history_url=None if history_url is None else _http_url(history_url),
            jobmanager=_jobmanager(described.get("jobmanager", _address_of(rest_url))),
            ui_url=None if ui_url is None else _http_url(ui_url),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
