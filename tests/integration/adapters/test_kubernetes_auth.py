"""Every way of `K8S_AUTH`: the `Authorization` header on the wire, renewed, and never a request without."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from doubles.kubernetes.tls_listener import Certificate, make_certificate, server_context
from flinkjobs.adapters.kubernetes import auth
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.domain.errors import KubernetesUnavailableError, SettingsError
from tests.support.fresh_process import what_prints
from tests.support.scripted_server import Answer, Asked, ScriptedServer

ROOT = Path(__file__).parents[3]
JOBS = Answer(body=b'{"kind": "JobList", "items": []}')
CLUSTER = "projects/p-1/locations/europe-west1/clusters/main"


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return make_certificate(datetime.now(UTC))


@pytest.fixture(scope="module")
def authority(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate in a file; it signs itself."""
    path = tmp_path_factory.mktemp("authority") / "ca.crt"
    path.write_bytes(certificate.certificate)
    return path


@pytest.fixture
def server(certificate: Certificate, tmp_path: Path) -> Iterator[ScriptedServer]:
    """An API server with TLS that records what it is asked."""
    with ScriptedServer(lambda _: JOBS, tls=server_context(certificate, tmp_path)) as running:
        yield running


def headers(server: ScriptedServer) -> list[str | None]:
    """The `Authorization` header of every request, in the order they came."""
    return [asked.headers.get("authorization") for asked in server.asked]


def ping(access: auth.Access, times: int = 1) -> None:
    api = kubernetes_client.client(access, "lemo-dev", read_timeout_seconds=10)
    for _ in range(times):
        api.ping()


# --- incluster --------------------------------------------------------------------------------------


@pytest.fixture
def service_account(authority: Path, tmp_path: Path) -> Path:
    """What the kubelet mounts."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    (directory / "ca.crt").write_bytes(authority.read_bytes())
    (directory / "token").write_text("pod-token-1")
    return directory


def pod_environment(server: ScriptedServer) -> dict[str, str]:
    host, _, port = server.address.partition(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def test_a_pod_sends_its_token_and_the_new_one_once_the_kubelet_has_renewed_it(
    server: ScriptedServer, service_account: Path
) -> None:
    access = auth.incluster(pod_environment(server), service_account)
    ping(access, times=2)
    (service_account / "token").write_text("pod-token-2\n")
    ping(access)
    assert headers(server) == ["Bearer pod-token-1", "Bearer pod-token-1", "Bearer pod-token-2"]


@pytest.mark.parametrize("content", [None, "", " \n", "two lines\nof text", "tök€n"])
def test_a_pod_whose_token_cannot_be_read_sends_nothing(
    content: str | None, server: ScriptedServer, service_account: Path
) -> None:
    access = auth.incluster(pod_environment(server), service_account)
    token = service_account / "token"
    token.unlink()
    if content is not None:
        token.write_text(content, encoding="utf-8")
    with pytest.raises(KubernetesUnavailableError, match=r"^K8S_AUTH: .*token file .*/token"):
        ping(access)
    assert server.asked == []


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_service_account_is_a_wrong_setting(
    missing: str, server: ScriptedServer, service_account: Path
) -> None:
    (service_account / missing).unlink()
    with pytest.raises(SettingsError, match=r"^K8S_AUTH incluster: Service .* does not exist"):
        auth.incluster(pod_environment(server), service_account)


# --- kubeconfig -------------------------------------------------------------------------------------


@pytest.fixture
def kubeconfig(server: ScriptedServer, authority: Path, tmp_path: Path) -> Path:
    """Of a user `u` who is not described yet, and of one who is not used."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": server.url, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "another-user", "user": {"exec": {"command": "aws"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def describe_user(kubeconfig: Path, user: Mapping[str, Any]) -> None:
    config = json.loads(kubeconfig.read_text())
    config["users"].append({"name": "u", "user": user})
    kubeconfig.write_text(json.dumps(config))


def test_the_token_of_a_kubeconfig_is_sent(kubeconfig: Path, server: ScriptedServer) -> None:
    describe_user(kubeconfig, {"token": "static-token\n"})
    ping(auth.from_kubeconfig(str(kubeconfig)), times=2)
    assert headers(server) == ["Bearer static-token"] * 2


def test_the_token_file_of_a_kubeconfig_is_read_again_and_goes_before_its_token(
    kubeconfig: Path, server: ScriptedServer
) -> None:
    token = kubeconfig.parent / "tokens" / "current"
    token.parent.mkdir()
    token.write_text("file-token-1")
    describe_user(kubeconfig, {"token": "static-token", "tokenFile": "tokens/current"})
    access = auth.from_kubeconfig(str(kubeconfig))
    ping(access)
    token.write_text("file-token-2")
    ping(access)
    assert headers(server) == ["Bearer file-token-1", "Bearer file-token-2"]
    token.unlink()
    with pytest.raises(KubernetesUnavailableError, match="token file"):
        ping(access)
    assert len(server.asked) == 2


def test_a_client_certificate_needs_no_header(
    certificate: Certificate, authority: Path, kubeconfig: Path, tmp_path: Path
) -> None:
    context = server_context(certificate, tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    user = {
        "client-certificate-data": base64.b64encode(certificate.certificate).decode(),
        "client-key-data": base64.b64encode(certificate.key).decode(),
    }
    describe_user(kubeconfig, user)
    with ScriptedServer(lambda _: JOBS, tls=context) as strict:
        config = json.loads(kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = strict.url
        kubeconfig.write_text(json.dumps(config))
        ping(auth.from_kubeconfig(str(kubeconfig)))
        assert headers(strict) == [None]


USERS_REFUSED = {
    "exec": ({"exec": {"command": "gke-gcloud-auth-plugin"}}, "gets its token from an exec plugin"),
    "exec and a token": ({"exec": {"command": "x"}, "token": "t"}, "gets its token from an exec plugin"),
    "auth-provider": ({"auth-provider": {"name": "gcp"}}, "gets its token from an auth-provider"),
    "impersonation": ({"as": "root", "token": "t"}, "impersonates another user"),
    "no credentials": ({}, "has neither a token nor a client certificate"),
    "an empty token": ({"token": ""}, "has neither a token nor a client certificate"),
    "half a password": ({"username": "ann"}, "has neither a token nor a client certificate"),
}
"""Users for whom the official client would send anonymous requests, or those of another user."""


@pytest.mark.parametrize(("user", "why"), USERS_REFUSED.values(), ids=USERS_REFUSED.keys())
def test_a_user_who_would_become_anonymous_is_a_wrong_setting(
    user: Mapping[str, Any], why: str, kubeconfig: Path, server: ScriptedServer
) -> None:
    describe_user(kubeconfig, user)
    with pytest.raises(SettingsError, match=rf"^K8S_AUTH kubeconfig: user 'u' {why}"):
        auth.from_kubeconfig(str(kubeconfig))
    assert server.asked == []


def test_a_user_who_is_not_described_is_a_wrong_setting(kubeconfig: Path) -> None:
    with pytest.raises(SettingsError, match=r"^K8S_AUTH kubeconfig: .* object with name u in .* list"):
        auth.from_kubeconfig(str(kubeconfig))


# --- gke --------------------------------------------------------------------------------------------


@dataclass
class Metadata:
    """Google's metadata server: https://cloud.google.com/compute/docs/metadata/overview.

    Attributes:
        lifetimes: seconds each token is good for, in the order they are asked for; None refuses one. The last
            counts for all that follow.
        tokens: how many were asked for.
    """

    lifetimes: list[int | None] = field(default_factory=lambda: [3600])
    tokens: int = 0

    def answer(self, asked: Asked) -> Answer:
        assert asked.headers["metadata-flavor"] == "Google"
        flavor = {"Metadata-Flavor": "Google"}
        as_json, as_text = (
            flavor | {"Content-Type": "application/json"},
            flavor | {"Content-Type": "text/plain"},
        )
        match asked.path.partition("?")[0]:
            case "/":
                return Answer(body=b"computeMetadata/\n", headers=as_text)
            case "/computeMetadata/v1/project/project-id":
                return Answer(body=b"p-1", headers=as_text)
            case (
                "/computeMetadata/v1/instance/service-accounts/default/"
                | "/computeMetadata/v1/instance/service-accounts/sync@p-1.iam.gserviceaccount.com/"
            ):
                info = {"email": "sync@p-1.iam.gserviceaccount.com", "aliases": ["default"], "scopes": []}
                return Answer(body=json.dumps(info).encode(), headers=as_json)
            case "/computeMetadata/v1/instance/service-accounts/default/token":
                lifetime = self.lifetimes[min(self.tokens, len(self.lifetimes) - 1)]
                self.tokens += 1
                if lifetime is None:
                    return Answer(status=404, body=b"not now", headers=as_text)
                token = {
                    "access_token": f"ya29.{self.tokens}",
                    "expires_in": lifetime,
                    "token_type": "Bearer",
                }
                return Answer(body=json.dumps(token).encode(), headers=as_json)
        return Answer(status=404, headers=as_text)


@dataclass
class Google:
    """The stand-ins of Google's, and what this process saw of them."""

    metadata: Metadata
    metadata_server: ScriptedServer
    container_api: ScriptedServer
    clusters: dict[str, Answer]

    def describe(self, name: str, described: Mapping[str, Any]) -> None:
        self.clusters[f"/v1/{name}"] = Answer(body=json.dumps(described).encode())

    def run(
        self, *clusters: str, calls: int = 1, environ: Mapping[str, str] | None = None
    ) -> list[list[str]]:
        """What came of connecting to each cluster, and of the calls to it."""
        world = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GCE_METADATA_HOST": self.metadata_server.address,
            "GCE_METADATA_IP": self.metadata_server.address,
        }
        command = [sys.executable, "-m", "tests.support.gke_client", self.container_api.url, str(calls)]
        done = subprocess.run(
            [*command, *clusters],
            cwd=ROOT,
            env=world | dict(environ or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def google() -> Iterator[Google]:
    metadata = Metadata()
    clusters: dict[str, Answer] = {}
    with (
        ScriptedServer(metadata.answer) as metadata_server,
        ScriptedServer(lambda asked: clusters.get(asked.path, Answer(status=404))) as container_api,
    ):
        yield Google(metadata, metadata_server, container_api, clusters)


def by_ip(server: ScriptedServer, certificate: bytes) -> dict[str, Any]:
    """The description of a cluster whose DNS endpoint is for Google's own services only."""
    return {
        "name": "main",
        "status": "RUNNING",
        "endpoint": server.address,
        "masterAuth": {"clusterCaCertificate": base64.b64encode(certificate).decode()},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"endpoint": "gke-1.europe-west1.gke.goog", "allowExternalTraffic": False},
            "ipEndpointsConfig": {"enabled": True},
        },
    }


def test_gke_sends_the_functions_own_token_to_the_ip_endpoint(
    google: Google, server: ScriptedServer, certificate: Certificate
) -> None:
    google.describe(CLUSTER, by_ip(server, certificate.certificate))
    assert google.run(CLUSTER, calls=3) == [["ok"] * 4]
    assert google.container_api.paths == [f"/v1/{CLUSTER}"]
    assert headers(google.container_api) == ["Bearer ya29.1"]
    assert headers(server) == ["Bearer ya29.1"] * 3
    assert google.metadata.tokens == 1
    [asked] = [path for path in google.metadata_server.paths if "/token" in path]
    scopes = parse_qs(urlsplit(asked).query)["scopes"]
    google_scope = "https://www.googleapis.com/auth/"
    assert scopes == [f"{google_scope}cloud-platform,{google_scope}userinfo.email"]


def test_gke_prefers_the_dns_endpoint_whose_certificate_is_publicly_trusted(
    google: Google, server: ScriptedServer, authority: Path
) -> None:
    described = by_ip(server, b"unused") | {"endpoint": "10.0.0.2"}
    dns = {"endpoint": server.address.replace("127.0.0.1", "localhost"), "allowExternalTraffic": True}
    described["controlPlaneEndpointsConfig"]["dnsEndpointConfig"] = dns
    google.describe(CLUSTER, described)
    [[connected, call]] = google.run(CLUSTER)
    assert connected == "ok"
    assert "CERTIFICATE_VERIFY_FAILED" in call
    assert server.asked == []
    assert google.run(CLUSTER, environ={"SSL_CERT_FILE": str(authority)}) == [["ok", "ok"]]
    assert headers(server) == ["Bearer ya29.2"]  # the second process has a token of its own


def test_gke_renews_a_token_before_it_expires(
    google: Google, server: ScriptedServer, certificate: Certificate
) -> None:
    google.metadata.lifetimes = [0, 200, 3600]
    google.describe(CLUSTER, by_ip(server, certificate.certificate))
    assert google.run(CLUSTER, calls=4) == [["ok"] * 5]
    assert headers(google.container_api) == ["Bearer ya29.1"]
    assert headers(server) == ["Bearer ya29.2", "Bearer ya29.3", "Bearer ya29.3", "Bearer ya29.3"]


def test_gke_sends_nothing_while_its_token_cannot_be_renewed(
    google: Google, server: ScriptedServer, certificate: Certificate
) -> None:
    google.metadata.lifetimes = [0, None, None, 3600]
    google.describe(CLUSTER, by_ip(server, certificate.certificate))
    [[connected, first, second, third]] = google.run(CLUSTER, calls=3)
    assert (connected, third) == ("ok", "ok")
    for failed in (first, second):
        assert failed.startswith(
            "KubernetesUnavailableError: K8S_AUTH: cannot get a token of Google's: Refresh"
        )
    assert headers(server) == ["Bearer ya29.4"]


def test_gke_trusts_the_clusters_own_authority_only(google: Google, server: ScriptedServer) -> None:
    google.describe(CLUSTER, by_ip(server, make_certificate(datetime.now(UTC)).certificate))
    [[connected, call]] = google.run(CLUSTER)
    assert connected == "ok"
    assert call.startswith("KubernetesUnavailableError: ")
    assert "CERTIFICATE_VERIFY_FAILED" in call
    assert server.asked == []


def test_gke_says_what_is_wrong_with_a_cluster(google: Google, server: ScriptedServer) -> None:
    forbidden = {"error": {"code": 403, "message": "Required container.clusters.get permission"}}
    google.clusters |= {
        "/v1/forbidden": Answer(status=403, body=json.dumps(forbidden).encode()),
        "/v1/away": Answer(status=503),
        "/v1/html": Answer(body=b"<html>"),
        "/v1/list": Answer(body=b"[]"),
    }
    google.describe("off", by_ip(server, b"") | {"endpoint": ""})
    outcomes = google.run("forbidden", "away", "html", "list", "off", "unknown")
    expected = [
        "SettingsError: GKE_CLUSTER forbidden: 403 ",
        "KubernetesUnavailableError: K8S_AUTH: no description of away: 503 ",
        "KubernetesUnavailableError: K8S_AUTH: cannot get the description of html: JSONDecodeError",
        "KubernetesUnavailableError: K8S_AUTH: the description of list is no object",
        "SettingsError: GKE_CLUSTER off: its DNS endpoint admits no external traffic, and its IP endpoint is",
        "SettingsError: GKE_CLUSTER unknown: 404 ",
    ]
    assert [len(said) for said in outcomes] == [1] * 6
    assert [
        said for [said], start in zip(outcomes, expected, strict=True) if not said.startswith(start)
    ] == []
    assert "Required container.clusters.get permission" in outcomes[0][0]
    assert server.asked == []


def test_gke_without_a_google_identity_is_a_wrong_setting(google: Google) -> None:
    [[said]] = google.run(CLUSTER, environ={"NO_GCE_CHECK": "true"})
    assert said.startswith("SettingsError: K8S_AUTH gke: Your default credentials were not found")
    assert google.container_api.asked == []


PEM = base64.b64encode(b"PEM").decode()
DESCRIBED: dict[str, tuple[dict[str, Any], tuple[str, str | None]]] = {
    "an older description": (
        {"endpoint": "10.0.0.2", "masterAuth": {"clusterCaCertificate": PEM}},
        ("https://10.0.0.2", "PEM"),
    ),
    "the DNS endpoint alone": (
        {
            "controlPlaneEndpointsConfig": {
                "dnsEndpointConfig": {"endpoint": "gke-1.example", "allowExternalTraffic": True},
                "ipEndpointsConfig": {"enabled": False},
            }
        },
        ("https://gke-1.example", None),
    ),
    "a DNS endpoint for Google's services": (
        {
            "endpoint": "10.0.0.2",
            "masterAuth": {"clusterCaCertificate": PEM},
            "controlPlaneEndpointsConfig": {"dnsEndpointConfig": {"endpoint": "gke-1.example"}},
        },
        ("https://10.0.0.2", "PEM"),
    ),
}


@pytest.mark.parametrize(("described", "expected"), DESCRIBED.values(), ids=DESCRIBED.keys())
def test_the_endpoint_of_a_gke_cluster(described: dict[str, Any], expected: tuple[str, str | None]) -> None:
    assert auth.endpoint_of(described, "main") == expected


@pytest.mark.parametrize(
    "described",
    [
        {"endpoint": "10.0.0.2"},
        {"endpoint": "10.0.0.2", "masterAuth": {"clusterCaCertificate": "no base64"}},
        {"endpoint": "10.0.0.2", "masterAuth": None},
        {"controlPlaneEndpointsConfig": "on"},
    ],
)
def test_a_description_that_cannot_be_read_is_no_endpoint(described: dict[str, Any]) -> None:
    with pytest.raises(KubernetesUnavailableError, match=r"^K8S_AUTH: cannot get the description of main: "):
        auth.endpoint_of(described, "main")


def test_every_other_way_does_without_google_auth(kubeconfig: Path, server: ScriptedServer) -> None:
    describe_user(kubeconfig, {"token": "static-token"})
    program = (
        "import sys; sys.modules['google'] = sys.modules['google.auth'] = None\n"
        "from flinkjobs.adapters.kubernetes import client\n"
        "client.connect('lemo-dev', auth='kubeconfig', kubeconfig=sys.argv[1]).ping()\n"
    )
    assert what_prints(program, kubeconfig) == ("", "")
    assert headers(server) == ["Bearer static-token"]


# --- which way --------------------------------------------------------------------------------------


def test_auto_takes_the_named_gke_cluster_before_the_pod_and_the_pod_before_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by the credentials that each way misses."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match=r"^K8S_AUTH gke: "):
        auth.access("auto", kubeconfig=nowhere, gke_cluster=CLUSTER, in_cluster=True)
    with pytest.raises(SettingsError, match=r"^K8S_AUTH incluster: "):
        auth.access("auto", kubeconfig=nowhere, in_cluster=True)
    with pytest.raises(SettingsError, match=r"^K8S_AUTH kubeconfig: "):
        auth.access("auto", kubeconfig=nowhere)
    with pytest.raises(SettingsError, match=r"^GKE_CLUSTER is required"):
        auth.access("gke")
