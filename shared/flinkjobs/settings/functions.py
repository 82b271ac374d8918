"""The settings: one frozen value read from a mapping, once, at start. Nothing else reads the environment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.log_url import checked_template
from flinkjobs.settings import parsing
from flinkjobs.settings.flink_access import FlinkAccess, checked_access, checked_flink_conf
from flinkjobs.settings.parsing import Reader, set_values

if TYPE_CHECKING:
    from flinkjobs.settings.notify import ChannelSettings

T = TypeVar("T")

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


def _setting(default: T, parse: Callable[[str], T], *, secret: bool = False) -> T:
    """A field of `Settings`: its value where its variable is not set, and the parser of the variable."""
    return field(default=default, metadata={"parse": parse}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, checked. Attributes carry the names of the environment in lower case.

    Attributes:
        flink_clusters: by name: of FLINK_REST_URL and those that describe its cluster, and of FLINK_CLUSTERS.
        notify_channels: of NOTIFY_CHANNELS, which may name these clusters.
    """

    flink_clusters: Mapping[str, FlinkCluster]
    notify_channels: tuple[ChannelSettings, ...] = field(repr=False)
    mongodb_uri: str = _setting("", parsing.mongodb_uri, secret=True)
    mongodb_database: str = _setting("lemo_recommender", parsing.database)
    flink_image: str = _setting("", str)
    flink_bin: str = _setting("/opt/flink/bin/flink", str)
    k8s_namespace: str = _setting("lemo-dev", parsing.namespace)
    k8s_image_pull_secrets: tuple[str, ...] = _setting((), parsing.object_names)
    k8s_service_account: str | None = _setting(None, parsing.object_name)
    k8s_allow_injection: bool = _setting(False, parsing.boolean)
    pod_template: Mapping[str, Any] | None = _setting(None, parsing.json_or_yaml, secret=True)
    k8s_auth: str = _setting("auto", parsing.one_of(K8S_AUTH_MODES))
    kubeconfig: str | None = _setting(None, str)
    gke_cluster: str | None = _setting(None, parsing.gke_cluster)
    submit_timeout_seconds: int = _setting(600, parsing.whole_number(10, 86_400))
    sync_budget_seconds: int = _setting(120, parsing.whole_number(1, 3_600))
    lost_after_seconds: int = _setting(600, parsing.whole_number(0, 604_800))
    notify_stuck_after_seconds: int = _setting(300, parsing.whole_number(0, 604_800))
    health_window_seconds: int = _setting(600, parsing.whole_number(1, 86_400))
    health_max_restarts: int = _setting(10, parsing.whole_number(1, 1_000))
    health_wait_seconds: int = _setting(120, parsing.whole_number(0, 86_400))
    health_requests_per_pass: int = _setting(200, parsing.whole_number(0, 10_000))
    cleanup_retention_hours: float = _setting(24.0, parsing.hours)
    cleanup_unharvested_hours: float = _setting(168.0, parsing.hours)
    cleanup_max_deletions: int = _setting(2000, parsing.whole_number(1, 1_000_000))
    cleanup_deletions_per_second: int = _setting(20, parsing.whole_number(1, 1_000))
    record_retention_days: int | None = _setting(None, parsing.whole_number(7, 36_500))
    log_url_template: str | None = _setting(None, checked_template)
    cold_start_seconds: int = _setting(0, parsing.whole_number(0, 3_600))
    webhook_secrets: tuple[str, ...] = _setting((), parsing.webhook_secrets, secret=True)
    page_action_secret: tuple[str, ...] = _setting((), parsing.webhook_secrets, secret=True)
    allowed_script_hosts: frozenset[str] = _setting(frozenset(), parsing.hosts)
    sync_url: str | None = _setting(None, parsing.http_url)
    submit_url: str | None = _setting(None, parsing.http_url)
    sync_period_seconds: int = _setting(180, parsing.whole_number(1, 86_400))
    sync_follow_seconds: int | None = _setting(None, parsing.whole_number(2, 30))
    page_url: str | None = _setting(None, parsing.page_url)
    cors_origins: frozenset[str] = _setting(frozenset(), parsing.web_origins)
    trusted_user_header: str | None = _setting(None, parsing.header_name)
    operators: tuple[str, ...] = _setting((), parsing.operators)
    log_level: str = _setting("INFO", parsing.one_of(LOG_LEVELS))

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
    values: dict[str, Any] = {
        each.name: read.value(each.name.upper(), each.default, each.metadata["parse"])
        for each in fields(Settings)
        if "parse" in each.metadata
    }
    none: tuple[ChannelSettings, ...] = ()
    channels = read.value("NOTIFY_CHANNELS", none, lambda text: _channels(text, clusters))
    settings = Settings(flink_clusters=clusters, notify_channels=channels, **values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuses values that are right alone, and wrong together."""
    if not set(settings.webhook_secrets).isdisjoint(settings.page_action_secret):
        raise SettingsError("PAGE_ACTION_SECRET must be another than WEBHOOK_SECRETS: it vouches for users")
    if settings.operators and settings.trusted_user_header is None:
        raise SettingsError("OPERATORS names users by TRUSTED_USER_HEADER, which is not set")
    auth, days = settings.k8s_auth, settings.record_retention_days
    if auth == "gke" and settings.gke_cluster is None:
        raise SettingsError("GKE_CLUSTER is required by K8S_AUTH gke and not set")
    if auth not in ("gke", "auto") and settings.gke_cluster is not None:
        raise SettingsError(f"GKE_CLUSTER has no effect with K8S_AUTH {auth}")
    # Cleanup may need a final record as long as its Kubernetes Job is kept.
    for name in ("cleanup_retention_hours", "cleanup_unharvested_hours"):
        if days is not None and days * 24 < getattr(settings, name):
            raise SettingsError(f"RECORD_RETENTION_DAYS must be at least {name.upper()}, not {days}")


_OF_FUNCTIONS: Final = (
    *("MONGODB_URI", "MONGODB_DATABASE"),
    *("FLINK_REST_URL", "FLINK_HISTORY_URL", "FLINK_CLUSTERS", "FLINK_UI_URL", "FLINK_JOBMANAGER"),
    *("FLINK_IMAGE", "K8S_NAMESPACE", "K8S_AUTH", "GKE_CLUSTER"),
)
"""Settings that lead the functions to their peers. KUBECONFIG is not one of them: kubectl reads it too."""


def has_function_settings(environ: Mapping[str, str]) -> bool:
    """Whether any setting of the functions is set, so that a missing one is an error."""
    return not set_values(environ).keys().isdisjoint(_OF_FUNCTIONS)


def _channels(text: str, clusters: Collection[str]) -> tuple[ChannelSettings, ...]:
    # Most functions have no channels, and start without what reads them.
    from flinkjobs.settings.notify import read_channels  # noqa: PLC0415

    return read_channels(parsing.inline_or_file(text), clusters)


def _clusters(read: Reader) -> Mapping[str, FlinkCluster]:
    clusters: dict[str, FlinkCluster] = {}
    rest_url = read.value("FLINK_REST_URL", None, parsing.http_url)
    if rest_url is not None:
        clusters[DEFAULT_CLUSTER] = FlinkCluster(
            name=DEFAULT_CLUSTER,
            rest_url=rest_url,
            history_url=read.value("FLINK_HISTORY_URL", None, parsing.http_url),
            jobmanager=read.value("FLINK_JOBMANAGER", parsing.address_of(rest_url), parsing.jobmanager),
            ui_url=read.value("FLINK_UI_URL", None, parsing.http_url),
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
        rest_url = parsing.http_url(given.rest_url)
        history_url = None if given.history_url is None else parsing.http_url(given.history_url)
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
            jobmanager=parsing.address_of(rest_url)
            if given.jobmanager is None
            else parsing.jobmanager(given.jobmanager),
            ui_url=None if given.ui_url is None else parsing.http_url(given.ui_url),
            access=checked_access(access, [url for url in (rest_url, history_url) if url]),
            flink_conf=checked_flink_conf(given.flink_conf),
            namespace=None if given.namespace is None else parsing.namespace(given.namespace),
            image=given.image or None,
            service_account=None
            if given.service_account is None
            else parsing.object_name(given.service_account),
            is_jobmanager_derived=given.jobmanager is None,
            pod_template=_pod_template(given.pod_template),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _pod_template(given: dict[str, Any] | str | None) -> Mapping[str, Any] | None:
    if not isinstance(given, str):
        return given
    try:
        return parsing.json_or_yaml(given)
    except ValueError as error:
        raise ValueError(f"pod_template {error}") from error
