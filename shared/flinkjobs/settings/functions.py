"""The settings: one frozen value read from a mapping, once, at start. Nothing else reads the environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.log_url import checked_template
from flinkjobs.settings.flink_access import FlinkAccess, checked_access, checked_flink_conf
from flinkjobs.settings.parsing import (
    Reader,
    address_of,
    boolean,
    database,
    gke_cluster,
    header_name,
    hosts,
    hours,
    http_url,
    inline_or_file,
    jobmanager,
    json_or_yaml,
    mongodb_uri,
    namespace,
    object_name,
    object_names,
    one_of,
    operators,
    page_url,
    set_values,
    web_origins,
    webhook_secrets,
    whole_number,
)

if TYPE_CHECKING:
    from flinkjobs.settings.notify import ChannelSettings

DEFAULT_CLUSTER: Final = "default"
"""Name of the cluster that `FLINK_REST_URL` describes."""

K8S_AUTH_MODES: Final = ("auto", "incluster", "kubeconfig", "gke")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class FlinkCluster:
    """One Flink session cluster.

    Attributes:
        rest_url: base URL of its REST API, without a slash at the end.
        history_url: base URL of its History Server, or None.
        jobmanager: for `flink run -m`: `host:port`, or a URL, which Flink reads since 1.19.
        ui_url: base URL under which people open its web UI, where that is not `rest_url`.
        access: what its REST API and its History Server ask of a client.
        flink_conf: options of Flink for every submission, under the submission's own.
        namespace: of its submitters' Jobs, as are `image` and `service_account`; None is that of all.
        is_jobmanager_derived: whether `jobmanager` was made of `rest_url`, since none was given.
        pod_template: of the submitter's pod, unchecked; may hold secrets.
    """

    name: str
    rest_url: str
    history_url: str | None
    jobmanager: str
    ui_url: str | None = None
    pod_template: Mapping[str, Any] | None = field(default=None, repr=False)
    access: FlinkAccess = field(default_factory=FlinkAccess)
    flink_conf: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    image: str | None = None
    service_account: str | None = None
    is_jobmanager_derived: bool = field(default=False, compare=False)

    @property
    def lost_to_jobmanager(self) -> str | None:
        """The parts of `rest_url` that a derived `jobmanager` lacks, for people; None where it lacks none."""
        parts = urlsplit(self.rest_url)
        lost = [
            *(["https"] if parts.scheme == "https" else []),
            *([f"the path {parts.path}"] if parts.path else []),
            *(["the credentials"] if parts.username is not None else []),
        ]
        return " and ".join(lost) if self.is_jobmanager_derived and lost else None

    @property
    def web_url(self) -> str:
        """URL of its web UI for people, without credentials."""
        return _without_credentials(self.ui_url or self.rest_url)

    @property
    def history_web_url(self) -> str | None:
        """URL of the History Server for people, without credentials; None without a History Server."""
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
    k8s_allow_injection: bool
    pod_template: Mapping[str, Any] | None = field(repr=False)
    k8s_auth: str
    kubeconfig: str | None
    gke_cluster: str | None
    submit_timeout_seconds: int
    sync_budget_seconds: int
    lost_after_seconds: int
    notify_stuck_after_seconds: int
    health_window_seconds: int
    health_max_restarts: int
    health_wait_seconds: int
    health_requests_per_pass: int
    cleanup_retention_hours: float
    cleanup_unharvested_hours: float
    cleanup_max_deletions: int
    cleanup_deletions_per_second: int
    record_retention_days: int | None
    log_url_template: str | None
    cold_start_seconds: int
    webhook_secrets: tuple[str, ...] = field(repr=False)
    page_action_secret: tuple[str, ...] = field(repr=False)
    allowed_script_hosts: frozenset[str]
    sync_url: str | None
    submit_url: str | None
    sync_period_seconds: int
    sync_follow_seconds: int | None
    notify_channels: tuple[ChannelSettings, ...] = field(repr=False)
    page_url: str | None
    cors_origins: frozenset[str]
    trusted_user_header: str | None
    operators: tuple[str, ...]
    log_level: str

    @property
    def k8s_namespaces(self) -> tuple[str, ...]:
        """Every namespace that may hold Jobs of ours, that of `K8S_NAMESPACE` first."""
        own = (cluster.namespace for cluster in self.flink_clusters.values())
        return tuple(dict.fromkeys((self.k8s_namespace, *(each for each in own if each is not None))))


REQUIRED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "submit": ("FLINK_IMAGE", "FLINK_REST_URL"),
        "sync": ("FLINK_REST_URL",),
        "cleanup": (),
        "jobs": (),
    }
)
"""Settings that each function needs in addition to MONGODB_URI; FLINK_CLUSTERS replaces FLINK_REST_URL."""


def read_settings(environ: Mapping[str, str], *, required: Collection[str] = ()) -> Settings:
    """Reads and checks all settings.

    Args:
        environ: usually `os.environ`. An empty value counts as not set.
        required: names that must be set for the function that starts, beyond those that always must.

    Raises:
        SettingsError: a value is missing or wrong; one line that names the variable. A secret's value
            is never part of it.
    """
    env = set_values(environ)
    for name in ("MONGODB_URI", *required):
        if name not in env and not (name == "FLINK_REST_URL" and "FLINK_CLUSTERS" in env):
            raise SettingsError(f"{name} is required and not set")
    read = Reader(env)
    clusters = _clusters(read)
    none: tuple[str, ...] = ()
    own = read.value("WEBHOOK_SECRETS", none, webhook_secrets)
    page = read.value("PAGE_ACTION_SECRET", none, webhook_secrets)
    if not set(own).isdisjoint(page):
        raise SettingsError("PAGE_ACTION_SECRET must be another than WEBHOOK_SECRETS: it vouches for users")
    if "OPERATORS" in env and "TRUSTED_USER_HEADER" not in env:
        raise SettingsError("OPERATORS names users by TRUSTED_USER_HEADER, which is not set")
    return Settings(
        mongodb_uri=read.value("MONGODB_URI", "", mongodb_uri),
        mongodb_database=read.value("MONGODB_DATABASE", "lemo_recommender", database),
        flink_clusters=clusters,
        flink_image=env.get("FLINK_IMAGE", ""),
        flink_bin=env.get("FLINK_BIN", "/opt/flink/bin/flink"),
        k8s_namespace=read.value("K8S_NAMESPACE", "lemo-dev", namespace),
        k8s_image_pull_secrets=read.value("K8S_IMAGE_PULL_SECRETS", (), object_names),
        k8s_service_account=read.value("K8S_SERVICE_ACCOUNT", None, object_name),
        k8s_allow_injection=read.value("K8S_ALLOW_INJECTION", False, boolean),
        pod_template=read.value("POD_TEMPLATE", None, json_or_yaml),
        k8s_auth=read.value("K8S_AUTH", "auto", one_of(K8S_AUTH_MODES)),
        kubeconfig=env.get("KUBECONFIG"),
        gke_cluster=_gke(read),
        submit_timeout_seconds=read.value("SUBMIT_TIMEOUT_SECONDS", 600, whole_number(10, 86_400)),
        sync_budget_seconds=read.value("SYNC_BUDGET_SECONDS", 120, whole_number(1, 3_600)),
        lost_after_seconds=read.value("LOST_AFTER_SECONDS", 600, whole_number(0, 604_800)),
        notify_stuck_after_seconds=read.value("NOTIFY_STUCK_AFTER_SECONDS", 300, whole_number(0, 604_800)),
        health_window_seconds=read.value("HEALTH_WINDOW_SECONDS", 600, whole_number(1, 86_400)),
        health_max_restarts=read.value("HEALTH_MAX_RESTARTS", 10, whole_number(1, 1_000)),
        health_wait_seconds=read.value("HEALTH_WAIT_SECONDS", 120, whole_number(0, 86_400)),
        health_requests_per_pass=read.value("HEALTH_REQUESTS_PER_PASS", 200, whole_number(0, 10_000)),
        cleanup_retention_hours=read.value("CLEANUP_RETENTION_HOURS", 24.0, hours),
        cleanup_unharvested_hours=read.value("CLEANUP_UNHARVESTED_HOURS", 168.0, hours),
        cleanup_max_deletions=read.value("CLEANUP_MAX_DELETIONS", 2000, whole_number(1, 1_000_000)),
        cleanup_deletions_per_second=read.value("CLEANUP_DELETIONS_PER_SECOND", 20, whole_number(1, 1_000)),
        record_retention_days=_record_retention(read),
        log_url_template=read.value("LOG_URL_TEMPLATE", None, checked_template),
        cold_start_seconds=read.value("COLD_START_SECONDS", 0, whole_number(0, 3_600)),
        webhook_secrets=own,
        page_action_secret=page,
        allowed_script_hosts=read.value("ALLOWED_SCRIPT_HOSTS", frozenset(), hosts),
        sync_url=read.value("SYNC_URL", None, http_url),
        submit_url=read.value("SUBMIT_URL", None, http_url),
        sync_period_seconds=read.value("SYNC_PERIOD_SECONDS", 180, whole_number(1, 86_400)),
        sync_follow_seconds=read.value("SYNC_FOLLOW_SECONDS", None, whole_number(2, 30)),
        notify_channels=read.value("NOTIFY_CHANNELS", (), lambda text: _channels(text, clusters)),
        page_url=read.value("PAGE_URL", None, page_url),
        cors_origins=read.value("CORS_ORIGINS", frozenset(), web_origins),
        trusted_user_header=read.value("TRUSTED_USER_HEADER", None, header_name),
        operators=read.value("OPERATORS", (), operators),
        log_level=read.value("LOG_LEVEL", "INFO", one_of(LOG_LEVELS)),
    )


_OF_FUNCTIONS: Final = (
    *("MONGODB_URI", "MONGODB_DATABASE"),
    *("FLINK_REST_URL", "FLINK_HISTORY_URL", "FLINK_CLUSTERS", "FLINK_UI_URL", "FLINK_JOBMANAGER"),
    *("FLINK_IMAGE", "K8S_NAMESPACE", "K8S_AUTH", "GKE_CLUSTER"),
)
"""Settings that lead the functions to their peers. KUBECONFIG is not one of them: kubectl reads it too."""


def has_function_settings(environ: Mapping[str, str]) -> bool:
    """Whether any setting of the functions is set, so that a missing one is an error."""
    return not set_values(environ).keys().isdisjoint(_OF_FUNCTIONS)


def _record_retention(read: Reader) -> int | None:
    """Days for which final records are kept: longer than cleanup may need them for a Kubernetes Job."""
    days = read.value("RECORD_RETENTION_DAYS", None, whole_number(7, 36_500))
    for name, default in (("CLEANUP_RETENTION_HOURS", 24.0), ("CLEANUP_UNHARVESTED_HOURS", 168.0)):
        if days is not None and days * 24 < read.value(name, default, hours):
            raise SettingsError(f"RECORD_RETENTION_DAYS must be at least {name}, not {days}")
    return days


def _channels(text: str, clusters: Collection[str]) -> tuple[ChannelSettings, ...]:
    # Most functions have no channels, and start without what reads them.
    from flinkjobs.settings.notify import read_channels  # noqa: PLC0415

    return read_channels(inline_or_file(text), clusters)


def _gke(read: Reader) -> str | None:
    """The cluster for `K8S_AUTH=gke`, which needs one; another explicit way would ignore it."""
    auth, cluster = read.env.get("K8S_AUTH", "auto"), read.value("GKE_CLUSTER", None, gke_cluster)
    if auth == "gke" and cluster is None:
        raise SettingsError("GKE_CLUSTER is required by K8S_AUTH gke and not set")
    if auth not in ("gke", "auto") and cluster is not None:
        raise SettingsError(f"GKE_CLUSTER has no effect with K8S_AUTH {auth}")
    return cluster


def _clusters(read: Reader) -> Mapping[str, FlinkCluster]:
    clusters: dict[str, FlinkCluster] = {}
    rest_url = read.value("FLINK_REST_URL", None, http_url)
    if rest_url is not None:
        clusters[DEFAULT_CLUSTER] = FlinkCluster(
            name=DEFAULT_CLUSTER,
            rest_url=rest_url,
            history_url=read.value("FLINK_HISTORY_URL", None, http_url),
            jobmanager=read.value("FLINK_JOBMANAGER", address_of(rest_url), jobmanager),
            ui_url=read.value("FLINK_UI_URL", None, http_url),
            is_jobmanager_derived="FLINK_JOBMANAGER" not in read.env,
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


class _Described(msgspec.Struct, forbid_unknown_fields=True):
    """One cluster of `FLINK_CLUSTERS`."""

    rest_url: str
    history_url: str | None = None
    jobmanager: str | None = None
    ui_url: str | None = None
    ca_file: str | None = None
    client_cert_file: str | None = None
    client_key_file: str | None = None
    token_file: str | None = None
    google_audience: str | None = None
    flink_conf: dict[str, str] = {}
    namespace: str | None = None
    image: str | None = None
    service_account: str | None = None
    pod_template: dict[str, Any] | str | None = None


_Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")]
_Clusters: TypeAlias = Annotated[dict[_Name, _Described], msgspec.Meta(min_length=1)]


def _several_clusters(text: str) -> tuple[FlinkCluster, ...]:
    try:
        given = msgspec.json.decode(text, type=_Clusters)
    except (msgspec.DecodeError, RecursionError) as error:
        example = '{"batch": {"rest_url": "http://host:8081"}}'
        raise ValueError(f"must be JSON like {example}: {error}") from error
    return tuple(_cluster(name, described) for name, described in given.items())


def _cluster(name: str, given: _Described) -> FlinkCluster:
    try:
        rest_url = http_url(given.rest_url)
        history_url = None if given.history_url is None else http_url(given.history_url)
        access = FlinkAccess(
            ca_file=given.ca_file,
            client_cert_file=given.client_cert_file,
            client_key_file=given.client_key_file,
            token_file=given.token_file,
            google_audience=given.google_audience,
        )
        return FlinkCluster(
            name=name,
            rest_url=rest_url,
            history_url=history_url,
            jobmanager=address_of(rest_url) if given.jobmanager is None else jobmanager(given.jobmanager),
            ui_url=None if given.ui_url is None else http_url(given.ui_url),
            access=checked_access(access, [url for url in (rest_url, history_url) if url]),
            flink_conf=checked_flink_conf(given.flink_conf),
            namespace=None if given.namespace is None else namespace(given.namespace),
            image=given.image or None,
            service_account=None if given.service_account is None else object_name(given.service_account),
            is_jobmanager_derived=given.jobmanager is None,
            pod_template=_pod_template(given.pod_template),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _pod_template(given: dict[str, Any] | str | None) -> Mapping[str, Any] | None:
    if not isinstance(given, str):
        return given
    try:
        return json_or_yaml(given)
    except ValueError as error:
        raise ValueError(f"pod_template {error}") from error
