"""Authentication to the Kubernetes API server, one way for each value of `K8S_AUTH`.

The official client knows the address, the certificate authority and a client certificate. The
`Authorization` header is given to each request by this package instead: wherever the client's own
credentials come to nothing (an `exec` plugin that fails, a user without a token, a provider that is not
installed), it sends the request without a header, which makes it anonymous, and says so nowhere.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.config import KUBE_CONFIG_DEFAULT_LOCATION, ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from flinkjobs import USER_AGENT
from flinkjobs.domain.errors import KubernetesUnavailableError, SettingsError
from flinkjobs.domain.text import cut

if TYPE_CHECKING:
    import google.auth.credentials
    import google.auth.transport

Authorization = Callable[[], str]
"""The `Authorization` header of the next request. Raises `KubernetesUnavailableError` where there is none."""

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's own token and the cluster's certificate authority."""
CONTAINER_API: Final = "https://container.googleapis.com"
"""https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters"""
GOOGLE_SCOPES: Final = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
)
"""Without the second one, GKE knows a service account by its number instead of its e-mail address:
https://cloud.google.com/kubernetes-engine/docs/how-to/role-based-access-control#troubleshooting"""
LOOKUP_SECONDS: Final = 10.0

_REFUSED_USERS: Final = {
    "exec": "gets its token from an exec plugin, which is not there where a function runs",
    "auth-provider": "gets its token from an auth-provider, which clients no longer have",
    "as": "impersonates another user, which this client would not do",
}
"""Fields of a kubeconfig's user that the official client ignores, so that requests may be anonymous."""
_UNREADABLE_CONFIG: Final = (TypeError, ValueError, AttributeError, KeyError, IndexError)
"""What the client raises over a kubeconfig that is YAML, but not a kubeconfig."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
"""What may stand in a header."""
_OK: Final = 200
_MAY_PASS: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Access:
    """Address of the API server, and the credentials to use.

    Attributes:
        configuration: of the official client: address, certificate authority, client certificate.
        authorization: asked before every request; None where a client certificate says who we are.
    """

    configuration: Configuration
    authorization: Authorization | None


def access(
    auth: str, *, kubeconfig: str | None = None, gke_cluster: str | None = None, in_cluster: bool = False
) -> Access:
    """API server and credentials by the settings.

    Args:
        auth: `incluster`, `gke`, `kubeconfig`, or `auto`: `gke` where a cluster is named, else `incluster` in
            a pod, else `kubeconfig`.
        kubeconfig: path of the kubeconfig file; None means the client's default path.
        gke_cluster: `projects/…/locations/…/clusters/…`; needed by `gke`.
        in_cluster: whether this process runs in a pod.

    Raises:
        SettingsError: these credentials do not exist or cannot be used.
        KubernetesUnavailableError: Google did not answer.
    """
    if auth == "auto":
        auth = "gke" if gke_cluster else "incluster" if in_cluster else "kubeconfig"
    if auth == "gke":
        if not gke_cluster:
            raise SettingsError("GKE_CLUSTER is required by K8S_AUTH gke and not set")
        return gke(gke_cluster)
    return incluster() if auth == "incluster" else from_kubeconfig(kubeconfig)


def incluster(environ: Mapping[str, str] | None = None, directory: Path = SERVICE_ACCOUNT) -> Access:
    """The pod's own service account. Its token, which the kubelet renews, is read for every request."""
    configuration, token_file = Configuration(), directory / "token"
    try:
        loader: Any = InClusterConfigLoader(  # type: ignore[no-untyped-call]
            token_filename=str(token_file),
            cert_filename=str(directory / "ca.crt"),
            try_refresh_token=False,
            environ=os.environ if environ is None else environ,
        )
        loader.load_and_set(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise _wrong("K8S_AUTH incluster", error) from error
    return Access(configuration, _token_of_file(token_file))


def from_kubeconfig(path: str | None) -> Access:
    """The user of a kubeconfig's current context: a token, a file with one, a password or a certificate."""
    configuration = Configuration()
    try:
        config = _merged(path or KUBE_CONFIG_DEFAULT_LOCATION)
        name, user, directory = _user(config)
        loader: Any = KubeConfigLoader(config_dict=config, config_base_path=None)  # type: ignore[no-untyped-call]
        loader.load_and_set(configuration)
        authorization = _authorization_of(user, directory)
    except (ConfigException, OSError, yaml.YAMLError, *_UNREADABLE_CONFIG) as error:
        raise _wrong("K8S_AUTH kubeconfig", error) from error
    if authorization is None and configuration.cert_file is None:
        raise SettingsError(
            f"K8S_AUTH kubeconfig: user {name!r} has neither a token nor a client certificate for https"
        )
    return Access(configuration, authorization)


def gke(cluster: str, *, container_api: str = CONTAINER_API) -> Access:
    """A GKE cluster, as this function's own Google identity (Application Default Credentials).

    Args:
        cluster: `projects/…/locations/…/clusters/…`.
        container_api: base URL of the Kubernetes Engine API.

    Raises:
        SettingsError: the credentials file cannot be used, or the identity may not read this cluster, or the
            cluster has no endpoint that admits us.
        KubernetesUnavailableError: Google, or the metadata server of this instance, did not answer.
    """
    # Every other way does without google-auth, which is an extra of its own.
    import google.auth  # noqa: PLC0415
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415

    request = Request()
    try:
        credentials, _project = google.auth.default(scopes=GOOGLE_SCOPES, request=request)
    except DefaultCredentialsError as error:
        if _expects_metadata_server():
            raise _unavailable("an identity from Google's metadata server", error) from error
        raise _wrong("K8S_AUTH gke", error) from error
    except GoogleAuthError as error:
        raise _unavailable("Google's identity of this function", error) from error
    authorization = GoogleToken(credentials, request)
    server, authority = endpoint_of(_look_up(cluster, container_api, request, authorization), cluster)
    configuration = Configuration()
    configuration.host = server
    configuration.ca_cert_data = authority
    return Access(configuration, authorization)


def _expects_metadata_server() -> bool:
    """Whether google-auth ends its search for an identity at the metadata server.

    It finds no identity there in the first seconds of an instance, when that server answers 503 or nothing.
    """
    return not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") and os.environ.get("NO_GCE_CHECK") != "true"


class GoogleToken:
    """An `Authorization` with a Google identity's token. May be shared by threads.

    google-auth renews a token that has less than 3 min 45 s left. A token that cannot be renewed is an error
    even while the old one may still be good: a metadata server that is away is seen before it hurts.
    """

    def __init__(
        self, credentials: google.auth.credentials.Credentials, request: google.auth.transport.Request
    ) -> None:
        """Asks for nothing yet."""
        self._credentials = credentials
        self._request = request
        self._renewing = threading.Lock()

    def __call__(self) -> str:
        """`Bearer` and a token that is valid now."""
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 as in gke()

        with self._renewing:
            try:
                if not self._credentials.valid:
                    self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]
            except (GoogleAuthError, LookupError, TypeError, ValueError, OverflowError) as error:
                raise _unavailable("a token of Google's", error) from error
            return _bearer(self._credentials.token, "a token of Google's")


def endpoint_of(described: Mapping[str, Any], cluster: str) -> tuple[str, str | None]:
    """Address of a GKE cluster's API server, and its certificate authority (PEM) where it has its own.

    The DNS endpoint where it admits traffic from outside of Google's own services: it needs no route into the
    cluster's network, its certificate is publicly trusted, and IAM decides who may connect. Else the IP
    endpoint.

    Args:
        described: the Cluster object of the Kubernetes Engine API.
        cluster: what messages call it.

    Raises:
        SettingsError: neither endpoint is on.
        KubernetesUnavailableError: the description cannot be read.
    """
    try:
        endpoints = described.get("controlPlaneEndpointsConfig") or {}
        dns = endpoints.get("dnsEndpointConfig") or {}
        if dns.get("allowExternalTraffic") and dns.get("endpoint"):
            return f"https://{dns['endpoint']}", None
        if (endpoints.get("ipEndpointsConfig") or {}).get("enabled", True) and described.get("endpoint"):
            authority = base64.b64decode(described["masterAuth"]["clusterCaCertificate"], validate=True)
            return f"https://{described['endpoint']}", authority.decode("ascii")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _unavailable(f"the description of {cluster}", error) from error
    raise SettingsError(
        f"GKE_CLUSTER {cluster}: its DNS endpoint admits no external traffic, and its IP endpoint is off"
    )


def _look_up(
    cluster: str, container_api: str, request: google.auth.transport.Request, authorization: Authorization
) -> Mapping[str, Any]:
    """The Cluster object, as the Kubernetes Engine API describes it."""
    from google.auth.exceptions import TransportError  # noqa: PLC0415 as in gke()

    headers = {"Authorization": authorization(), "Accept": "application/json", "User-Agent": USER_AGENT}
    try:
        answer = request(
            url=f"{container_api}/v1/{cluster}", method="GET", headers=headers, timeout=LOOKUP_SECONDS
        )
    except TransportError as error:
        raise _unavailable(f"the description of {cluster}", error) from error
    text = cut(" ".join(answer.data[:1000].decode(errors="replace").split()), 300)
    if answer.status != _OK:
        said = f"{answer.status} {text}"
        if answer.status in _MAY_PASS:
            raise KubernetesUnavailableError(f"K8S_AUTH: no description of {cluster}: {said}")
        raise SettingsError(f"GKE_CLUSTER {cluster}: {said}")
    try:
        described = json.loads(answer.data)
    except ValueError as error:
        raise _unavailable(f"the description of {cluster}", error) from error
    if not isinstance(described, dict):
        raise KubernetesUnavailableError(f"K8S_AUTH: the description of {cluster} is no object: {text}")
    return described


def _merged(paths: str) -> Any:
    """The client's tree over the files of a kubeconfig path, which may name several."""
    config = KubeConfigMerger(paths).config  # type: ignore[no-untyped-call]
    if config is None:
        raise ConfigException("Invalid kube-config file. No configuration found.")
    return config


def _user(config: Any) -> tuple[str, Mapping[str, Any], Path]:
    """Name and fields of the current context's user, and the directory its relative paths start from.

    Raises:
        ConfigException: there is none, or the client would not do as its fields say.
    """
    context = config["contexts"].get_with_name(config["current-context"])["context"]
    name = str(context["user"])
    entry = config["users"].get_with_name(name)
    fields: Mapping[str, Any] = entry["user"].value
    for field, why in _REFUSED_USERS.items():
        if field in fields:
            raise ConfigException(
                f"user {name!r} {why}: use a token, a tokenFile or a client certificate, or K8S_AUTH gke"
            )
    return name, fields, Path(entry.path).parent


def _authorization_of(user: Mapping[str, Any], directory: Path) -> Authorization | None:
    if user.get("tokenFile"):  # of both, the file wins, as in kubectl
        return _token_of_file(directory / user["tokenFile"])
    if user.get("token"):
        header = _bearer(str(user["token"]).strip(), "the kubeconfig's token")
        return lambda: header
    if user.get("username") and user.get("password"):
        basic = f"{user['username']}:{user['password']}"
        header = urllib3.util.make_headers(basic_auth=basic)["authorization"]
        return lambda: header
    return None


def _token_of_file(path: Path) -> Authorization:
    def authorization() -> str:
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise _unavailable(f"the token file {path}", error) from error
        return _bearer(token, f"the token file {path}")

    return authorization


def _bearer(token: object, what: str) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise KubernetesUnavailableError(f"K8S_AUTH: {what} is empty, or is no token")
    return f"Bearer {token}"


def _wrong(setting: str, error: Exception) -> SettingsError:
    return SettingsError(f"{setting}: {cut(' '.join(str(error).split()), 300)}")


def _unavailable(what: str, error: Exception) -> KubernetesUnavailableError:
    text = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
    return KubernetesUnavailableError(f"K8S_AUTH: cannot get {what}: {text}")
