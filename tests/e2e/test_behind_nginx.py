"""Flink behind nginx: TLS by an own authority and a prefix, mutual TLS, and a token that changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Scratch, free_port
from local.flink import FlinkCluster, local_image
from local.functions import FunctionServer
from local.mongodb import MongoServer
from tests.e2e.console import Document, overview, run_command, submit_to, sync_by
from tests.support.certificates import Authority
from tests.support.nginx import Nginx
from tests.support.waiting import until

SUBMIT_SECONDS = 240.0
RELOAD_SECONDS = 30.0
PASSWORD = "store-p4ssw0rd"
TOKENS = ("first-t0ken", "second-t0ken")
DATABASE = "behind_nginx"

ONE_ROW = """
from pyflink.table import EnvironmentSettings, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql("CREATE TABLE rows_ (n BIGINT) WITH ('connector'='datagen', 'number-of-rows'='1')")
tables.execute_sql("CREATE TABLE sink (n BIGINT) WITH ('connector'='blackhole')")
tables.execute_sql("INSERT INTO sink SELECT n FROM rows_")
"""

SERVER = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {demand}
    location /flink/ {{ proxy_pass {rest_url}/; }}
    location /history/ {{ proxy_pass {history_url}/; }}
  }}
"""
TOKEN_DEMAND = 'if ($http_authorization != "Bearer {token}") {{ return 401; }}'
DEMANDS = {
    "tls": "",
    "mutual": f"ssl_client_certificate {{authority}}; ssl_verify_client on; {TOKEN_DEMAND}",
    "token": TOKEN_DEMAND,
}
"""What each server demands; through that of mutual TLS, which demands most, a job is submitted."""


@dataclass(frozen=True)
class Place:
    """The running parts.

    Attributes:
        clusters: what FLINK_CLUSTERS holds; each is the same Flink behind another port of nginx.
        settings: of the functions.
        token_file: what sync reads.
        records: of the database.
    """

    clusters: Mapping[str, dict[str, Any]]
    settings: Mapping[str, str]
    submit: FunctionServer
    sync: FunctionServer
    jobs: FunctionServer
    rest_url: str
    nginx: Nginx
    servers: Mapping[str, str]
    token_file: Path
    records: Collection[Document]


@pytest.fixture(scope="module")
def place(mongo_server: MongoServer) -> Iterator[Place]:
    with ExitStack() as opened:
        flink = opened.enter_context(FlinkCluster(history_server=True))
        scratch = opened.enter_context(Scratch("behind-nginx")).path
        authority = Authority(scratch, password=PASSWORD)
        certificate, key, _ = authority.sign("server")
        client_certificate, client_key, keystore = authority.sign("client")
        ports = {name: free_port() for name in DEMANDS}
        servers = {
            token: "".join(
                SERVER.format(
                    port=port,
                    certificate=certificate,
                    key=key,
                    demand=DEMANDS[name].format(authority=authority.certificate, token=token),
                    rest_url=flink.rest_url,
                    history_url=flink.history_url,
                )
                for name, port in ports.items()
            )
            for token in TOKENS
        }
        nginx = opened.enter_context(Nginx(scratch, servers[TOKENS[0]], ports))
        token_file = scratch / "token"
        token_file.write_text(f"{TOKENS[0]}\n")
        conf = {
            "security.ssl.rest.enabled": "true",
            "security.ssl.rest.truststore": str(authority.truststore),
        }
        mutual = {
            "client_cert_file": str(client_certificate),
            "client_key_file": str(client_key),
            "token_file": str(token_file),
            "flink_conf": {
                **conf,
                "security.ssl.rest.authentication-enabled": "true",
                "security.ssl.rest.keystore": str(keystore),
            },
        }
        own: dict[str, dict[str, Any]] = {
            "tls": {},
            "mutual": mutual,
            "token": {"token_file": str(token_file)},
        }
        clusters = {
            name: {
                "rest_url": f"https://127.0.0.1:{port}/flink",
                "history_url": f"https://127.0.0.1:{port}/history",
                "jobmanager": f"https://127.0.0.1:{port}/flink",
                "ca_file": str(authority.certificate),
                "flink_conf": conf,
                **own[name],
            }
            for name, port in ports.items()
        }
        # What an image or a mounted configuration holds: the passwords of the stores.
        secrets = [f"security.ssl.rest.{name}-password" for name in ("truststore", "keystore", "key")]
        configuration = flink.image.configure("secret-conf", dict.fromkeys(secrets, PASSWORD))
        environment = flink.image.env(configuration) | {
            "FLINK_REST_CLIENT_HEADERS": f"Authorization:Bearer {TOKENS[0]}"
        }
        kubernetes = opened.enter_context(
            KubernetesDouble(image_paths=flink.image_paths(), image_environment=environment)
        )
        settings = {
            "MONGODB_URI": mongo_server.uri,
            "MONGODB_DATABASE": DATABASE,
            "FLINK_CLUSTERS": json.dumps(clusters),
            "FLINK_IMAGE": local_image(),
            "K8S_AUTH": "kubeconfig",
            "KUBECONFIG": str(kubernetes.kubeconfig),
            "K8S_NAMESPACE": kubernetes.namespace,
        }
        functions = {
            name: opened.enter_context(FunctionServer(name, settings)) for name in ("submit", "sync", "jobs")
        }
        mongo: MongoClient[Document] = opened.enter_context(MongoClient(mongo_server.uri, tz_aware=True))
        records = mongo[DATABASE].flink_jobs
        yield Place(
            clusters=clusters,
            settings=settings,
            **functions,
            rest_url=flink.rest_url,
            nginx=nginx,
            servers=servers,
            token_file=token_file,
            records=records,
        )
        mongo.drop_database(DATABASE)


def doctor(place: Place, directory: Path, **entry: Any) -> tuple[dict[str, Document], str]:
    """Findings by check, of doctor with this `FLINK_CLUSTERS`; and all that it printed."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(directory), **place.settings}
    clusters = entry or place.clusters
    ran = run_command(
        "doctor", "--json", environ={**environ, "FLINK_CLUSTERS": json.dumps(clusters)}, directory=directory
    )
    found = {finding["check"]: finding for finding in json.loads(ran.out)["findings"]}
    return found, ran.out + ran.err


def test_a_job_is_submitted_followed_and_linked_through_nginx(place: Place) -> None:
    """With a certificate of an own authority, a client certificate, a token and a prefix, all at once."""
    cluster = "mutual"
    accepted = submit_to(
        place.submit, template_id="through_nginx", script={"inline": ONE_ROW}, cluster=cluster
    )
    own = {"job_id": accepted["job_id"]}

    def ended() -> Document | None:
        report = sync_by(place.sync, [accepted["job_id"]])
        assert report["clusters"][cluster]["error"] is None
        record = place.records.find_one(own)
        assert record is not None
        assert record["status"] not in ("FAILED", "LOST"), record["reason"]
        return record if record["status"] == "FINISHED" else None

    record = until(ended, timeout_seconds=SUBMIT_SECONDS, what="the record is FINISHED")
    [job] = [job for job in overview(place.rest_url) if job["name"] == accepted["job_id"]]
    assert record["flink_job_ids"] == [job["jid"]]
    shown = httpx.get(f"{place.jobs.url}/api/jobs/{accepted['job_id']}", timeout=60, trust_env=False)
    [shown_job] = shown.json()["flink_jobs"]
    base = place.clusters[cluster]["rest_url"]
    assert shown_job["ui_url"] == f"{base}/#/job/completed/{job['jid']}/overview"
    assert shown_job["history_url"].startswith(place.clusters[cluster]["history_url"])
    stored = json.dumps(record, default=str)
    assert not any(secret in stored + shown.text for secret in (PASSWORD, *TOKENS))


def test_doctor_finds_all_clusters_well_and_words_each_fault(place: Place, tmp_path: Path) -> None:
    found, _ = doctor(place, tmp_path)
    checks = [f"{part}.{name}" for name in DEMANDS for part in ("flink", "history")]
    assert {check: found[check]["verdict"] for check in checks} == dict.fromkeys(checks, "ok")
    wrong_token = tmp_path / "wrong"
    wrong_token.write_text("wr0ng-t0ken")

    def without(name: str, *fields: str) -> dict[str, Any]:
        return {key: value for key, value in place.clusters[name].items() if key not in fields}

    faults = {
        "unknown_authority": without("tls", "ca_file"),
        "no_certificate": without("mutual", "client_cert_file", "client_key_file"),
        "no_token": without("token", "token_file"),
        "wrong_token": without("token") | {"token_file": str(wrong_token)},
        "no_file": without("token") | {"token_file": str(tmp_path / "absent")},
        "derived": without("tls", "jobmanager"),
    }
    found, printed = doctor(place, tmp_path, **faults)
    words = {
        "unknown_authority": ("FLINK_CERTIFICATE", "signed by an authority that is not trusted: name it in"),
        "no_certificate": ("FLINK_CREDENTIAL", "wants a client certificate"),
        "no_token": ("FLINK_CREDENTIAL", "answered 401"),
        "wrong_token": ("FLINK_CREDENTIAL", "answered 401"),
        "no_file": ("FLINK_CREDENTIAL", "absent cannot be used: No such file"),
    }
    for name, (code, evidence) in words.items():
        finding = found[f"flink.{name}"]
        assert (finding["verdict"], finding["code"]) == ("fail", code)
        assert evidence in finding["evidence"]
    assert "without https and the path /flink" in printed
    assert not any(secret in printed for secret in (PASSWORD, *TOKENS, "wr0ng-t0ken"))


def test_a_token_that_changes_is_read_again_while_sync_runs(place: Place) -> None:
    def error() -> str | None:
        found: str | None = sync_by(place.sync)["clusters"]["token"]["error"]
        return found

    assert error() is None
    place.nginx.reload(place.servers[TOKENS[1]])
    refused = until(error, timeout_seconds=RELOAD_SECONDS, what="nginx wants the other token")
    assert "answered 401" in refused
    place.token_file.write_text(TOKENS[1])
    until(lambda: error() is None, timeout_seconds=RELOAD_SECONDS, what="sync sends the other token")
    assert not any(token in line for token in TOKENS for line in place.sync.process.output)
