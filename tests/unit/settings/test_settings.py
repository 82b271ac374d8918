"""The settings: defaults, checks, and errors that name the variable but never a secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from flinkjobs.domain.errors import SettingsError
from flinkjobs.domain.events import EventFilter
from flinkjobs.settings.flink_access import FlinkAccess
from flinkjobs.settings.functions import FlinkCluster, Settings, read_settings
from flinkjobs.settings.notify import ChannelSettings, ChannelType

SECRET = "s3cr3t-p4ssw0rd"
NEW_WEBHOOK_SECRET = "whsec_" + "bmV3" * 8
PAGE_SECRET = "whsec_cGFnZXBhZ2VwYWdlcGFnZXBhZ2VwYWdlcGFnZXBhZ2U="
OLD_WEBHOOK_SECRET = "whsec_" + "b2xk" * 8
URI = f"mongodb://user:{SECRET}@mongo:27017"
LEAST = {"MONGODB_URI": URI}


def read(required: tuple[str, ...] = (), /, **environ: str) -> Settings:
    return read_settings(LEAST | environ, required=required)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read()
    assert settings.mongodb_uri == URI
    assert settings.mongodb_database == "lemo_recommender"
    assert settings.flink_clusters == {}
    assert settings.flink_image == ""
    assert settings.flink_bin == "/opt/flink/bin/flink"
    assert settings.k8s_namespace == "lemo-dev"
    assert settings.k8s_auth == "auto"
    assert (settings.kubeconfig, settings.gke_cluster) == (None, None)
    assert (settings.k8s_image_pull_secrets, settings.k8s_service_account) == ((), None)
    assert settings.k8s_allow_injection is False
    assert (settings.webhook_secrets, settings.allowed_script_hosts) == ((), frozenset())
    assert settings.submit_timeout_seconds == 600
    assert settings.sync_budget_seconds == 120
    assert settings.lost_after_seconds == 600
    assert settings.cold_start_seconds == 0
    assert settings.cleanup_retention_hours == 24
    assert settings.cleanup_unharvested_hours == 168
    assert settings.cleanup_max_deletions == 2000
    assert settings.cleanup_deletions_per_second == 20
    assert (settings.record_retention_days, settings.log_url_template) == (None, None)
    assert (settings.sync_url, settings.sync_period_seconds) == (None, 180)
    assert (settings.notify_channels, settings.page_url) == ((), None)
    assert settings.cors_origins == frozenset()
    assert settings.trusted_user_header is None
    assert settings.operators == ()
    assert settings.log_level == "INFO"


def test_every_setting_is_read() -> None:
    settings = read(
        MONGODB_DATABASE="jobs",
        FLINK_IMAGE="flink:1.20",
        FLINK_BIN="/flink",
        K8S_NAMESPACE="prod",
        K8S_AUTH="gke",
        K8S_IMAGE_PULL_SECRETS="registry mirror",
        K8S_SERVICE_ACCOUNT="submitter",
        K8S_ALLOW_INJECTION="true",
        POD_TEMPLATE="metadata: {labels: {since: 2025-11-01}}",
        WEBHOOK_SECRETS=f"{NEW_WEBHOOK_SECRET} {OLD_WEBHOOK_SECRET}",
        ALLOWED_SCRIPT_HOSTS="a.example, B.example c.example",
        PAGE_ACTION_SECRET=PAGE_SECRET,
        SYNC_URL="https://sync.example/",
        SUBMIT_URL="https://submit.example/",
        SYNC_PERIOD_SECONDS="60",
        SYNC_FOLLOW_SECONDS="30",
        KUBECONFIG="/etc/kubeconfig",
        GKE_CLUSTER="projects/p-1/locations/europe-west1/clusters/main",
        SUBMIT_TIMEOUT_SECONDS="10",
        SYNC_BUDGET_SECONDS="1",
        LOST_AFTER_SECONDS="0",
        NOTIFY_STUCK_AFTER_SECONDS="60",
        HEALTH_WINDOW_SECONDS="60",
        HEALTH_MAX_RESTARTS="3",
        HEALTH_WAIT_SECONDS="0",
        HEALTH_REQUESTS_PER_PASS="0",
        COLD_START_SECONDS="150",
        CLEANUP_RETENTION_HOURS="0.5",
        CLEANUP_UNHARVESTED_HOURS="1",
        CLEANUP_MAX_DELETIONS="5",
        CLEANUP_DELETIONS_PER_SECOND="40",
        RECORD_RETENTION_DAYS="90",
        LOG_URL_TEMPLATE="https://logs.example/?q={job_id}",
        NOTIFY_CHANNELS='[{"name": "team", "type": "chat", "url": "slack://t0ken"}]',
        PAGE_URL="https://flink.example/jobs/",
        CORS_ORIGINS="https://app.example, http://localhost:5173",
        TRUSTED_USER_HEADER="X-Auth-Request-Email",
        OPERATORS="ann@example.com, *@ops.example.com",
        LOG_LEVEL="DEBUG",
    )
    assert settings == Settings(
        mongodb_uri=URI,
        mongodb_database="jobs",
        flink_clusters={},
        flink_image="flink:1.20",
        flink_bin="/flink",
        k8s_namespace="prod",
        k8s_image_pull_secrets=("registry", "mirror"),
        k8s_service_account="submitter",
        k8s_allow_injection=True,
        pod_template={"metadata": {"labels": {"since": "2025-11-01"}}},
        k8s_auth="gke",
        kubeconfig="/etc/kubeconfig",
        gke_cluster="projects/p-1/locations/europe-west1/clusters/main",
        submit_timeout_seconds=10,
        sync_budget_seconds=1,
        lost_after_seconds=0,
        notify_stuck_after_seconds=60,
        health_window_seconds=60,
        health_max_restarts=3,
        health_wait_seconds=0,
        health_requests_per_pass=0,
        cold_start_seconds=150,
        cleanup_retention_hours=0.5,
        cleanup_unharvested_hours=1.0,
        cleanup_max_deletions=5,
        cleanup_deletions_per_second=40,
        record_retention_days=90,
        log_url_template="https://logs.example/?q={job_id}",
        webhook_secrets=(NEW_WEBHOOK_SECRET, OLD_WEBHOOK_SECRET),
        page_action_secret=(PAGE_SECRET,),
        allowed_script_hosts=frozenset({"a.example", "b.example", "c.example"}),
        sync_url="https://sync.example",
        submit_url="https://submit.example",
        sync_period_seconds=60,
        sync_follow_seconds=30,
        notify_channels=(ChannelSettings("team", ChannelType.CHAT, EventFilter(), url="slack://t0ken"),),
        page_url="https://flink.example/jobs",
        cors_origins=frozenset({"https://app.example", "http://localhost:5173"}),
        trusted_user_header="X-Auth-Request-Email",
        operators=("ann@example.com", "*@ops.example.com"),
        log_level="DEBUG",
    )


WRONG = [
    ("MONGODB_URI", f"postgres://user:{SECRET}@db"),
    ("MONGODB_URI", SECRET),
    ("MONGODB_DATABASE", "a/b"),
    ("MONGODB_DATABASE", "$where"),
    ("K8S_ALLOW_INJECTION", "yes"),
    ("POD_TEMPLATE", f"[{SECRET}]"),
    ("POD_TEMPLATE", SECRET),
    ("POD_TEMPLATE", f"spec: {{{SECRET}"),
    ("POD_TEMPLATE", f"true: {SECRET}"),
    ("POD_TEMPLATE", "@/absent/template.yaml"),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "pod_template": 1}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "pod_template": "@/absent"}}'),
    ("MONGODB_DATABASE", "a" * 64),
    ("FLINK_REST_URL", "flink:8081"),
    ("FLINK_REST_URL", "ftp://flink"),
    ("FLINK_REST_URL", "http://"),
    ("FLINK_REST_URL", "http://flink:8081?x=1"),
    ("FLINK_REST_URL", "http://flink:8081#x"),
    ("FLINK_REST_URL", "http://flink:99999"),
    ("FLINK_REST_URL", "http://flink:http"),
    ("FLINK_REST_URL", "http://flink:0"),
    ("FLINK_REST_URL", "http://[::1"),
    ("FLINK_REST_URL", "http://fl ink:8081"),
    ("FLINK_REST_URL", "http://flink\n:8081"),
    ("FLINK_REST_URL", f"ftp://user:{SECRET}@flink"),
    ("FLINK_REST_URL", f"http://user:{SECRET}@flink:99999"),
    ("FLINK_REST_URL", f"http://user:{SECRET}@{SECRET}@flink?x"),
    ("FLINK_CLUSTERS", "{"),
    ("FLINK_CLUSTERS", "[]"),
    ("FLINK_CLUSTERS", "{}"),
    ("FLINK_CLUSTERS", "[" * 100_000),
    ("FLINK_CLUSTERS", '{"batch": "http://flink:8081"}'),
    ("FLINK_CLUSTERS", '{"batch": {}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": 8081}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink:99999"}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "jobmanager": "flink"}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "history_url": ""}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "jobmanager": ""}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "ui_url": "javascript:alert(1)"}}'),
    ("FLINK_CLUSTERS", '{"batch": {"rest_url": "http://flink", "password": "s3cr3t-p4ssw0rd"}}'),
    ("FLINK_CLUSTERS", '{"no blank": {"rest_url": "http://flink"}}'),
    ("FLINK_CLUSTERS", '{"": {"rest_url": "http://flink"}}'),
    ("K8S_NAMESPACE", "Prod"),
    ("K8S_NAMESPACE", "-a"),
    ("K8S_NAMESPACE", "a" * 64),
    ("K8S_NAMESPACE", "a/../b"),
    ("K8S_AUTH", "token"),
    ("GKE_CLUSTER", "main"),
    ("GKE_CLUSTER", "projects/p/zones/z/clusters/c"),
    ("GKE_CLUSTER", "projects/p/locations/l/clusters/c/../d"),
    ("GKE_CLUSTER", "https://10.0.0.2"),
    ("SUBMIT_TIMEOUT_SECONDS", "9"),
    ("SUBMIT_TIMEOUT_SECONDS", "86401"),
    ("SYNC_BUDGET_SECONDS", "0"),
    ("SYNC_BUDGET_SECONDS", "2m"),
    ("SYNC_BUDGET_SECONDS", "1e2"),
    ("SYNC_BUDGET_SECONDS", "9" * 5000),
    ("LOST_AFTER_SECONDS", "-1"),
    ("COLD_START_SECONDS", "-1"),
    ("LOST_AFTER_SECONDS", "1.5"),
    ("CLEANUP_RETENTION_HOURS", "nan"),
    ("CLEANUP_RETENTION_HOURS", "inf"),
    ("CLEANUP_RETENTION_HOURS", "-1"),
    ("CLEANUP_UNHARVESTED_HOURS", "7d"),
    ("CLEANUP_MAX_DELETIONS", "0"),
    ("CLEANUP_DELETIONS_PER_SECOND", "0"),
    ("CLEANUP_DELETIONS_PER_SECOND", "1001"),
    ("RECORD_RETENTION_DAYS", "6"),
    ("RECORD_RETENTION_DAYS", "7.5"),
    ("RECORD_RETENTION_DAYS", "36501"),
    ("LOG_URL_TEMPLATE", f"https://user:{SECRET}@logs.example/{{job_id}}"),
    ("LOG_URL_TEMPLATE", "logs.example/{job_id}"),
    ("LOG_URL_TEMPLATE", "https://logs.example/{password}"),
    ("SYNC_URL", f"https://user:{SECRET}@sync?x"),
    ("SUBMIT_URL", f"https://user:{SECRET}@submit?x"),
    ("SYNC_PERIOD_SECONDS", "0"),
    ("PAGE_URL", "flink.example"),
    ("PAGE_URL", f"https://user:{SECRET}@flink.example"),
    ("TRUSTED_USER_HEADER", "X_Auth_Request_Email"),
    ("OPERATORS", "ann@example.com"),
    ("NOTIFY_CHANNELS", SECRET),
    ("WEBHOOK_SECRETS", SECRET),
    ("PAGE_ACTION_SECRET", SECRET),
    ("WEBHOOK_SECRETS", f"whsec_bmV3 {SECRET}"),
    ("LOG_LEVEL", "info"),
    ("LOG_LEVEL", "TRACE"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda text: text[:40].replace(SECRET, "SECRET"))
def test_a_wrong_value_is_one_line_that_begins_with_its_name_and_holds_no_secret(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} ")
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    assert SECRET not in message


def test_the_secret_of_the_page_is_no_secret_of_other_callers() -> None:
    """Else these could say that a user is verified."""
    with pytest.raises(SettingsError, match=r"^PAGE_ACTION_SECRET must be another") as caught:
        read(
            WEBHOOK_SECRETS=NEW_WEBHOOK_SECRET,
            PAGE_ACTION_SECRET=f"{OLD_WEBHOOK_SECRET} {NEW_WEBHOOK_SECRET}",
        )
    assert NEW_WEBHOOK_SECRET not in str(caught.value)


@pytest.mark.parametrize("entry", ["a*@example.com", "*@", "ann@exämple.com"])
def test_an_operator_that_matches_no_user_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"^OPERATORS must hold addresses"):
        read(TRUSTED_USER_HEADER="X-Auth-Request-Email", OPERATORS=f"bob@example.com {entry}")


@pytest.mark.parametrize("name", ["FLINK_HISTORY_URL", "FLINK_JOBMANAGER", "FLINK_UI_URL"])
def test_what_belongs_to_the_default_cluster_is_checked_with_it(name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} "):
        read(FLINK_REST_URL="http://flink:8081", **{name: "nonsense"})


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_value_counts_as_not_set(value: str) -> None:
    assert read(K8S_NAMESPACE=value, FLINK_CLUSTERS=value).k8s_namespace == "lemo-dev"
    with pytest.raises(SettingsError, match=r"^MONGODB_URI is required and not set$"):
        read(MONGODB_URI=value)


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    """A secret mounted from a file ends with a line end."""
    assert read(MONGODB_URI=f" {URI}\n").mongodb_uri == URI


def test_what_a_function_requires_must_be_set() -> None:
    with pytest.raises(SettingsError, match=r"^FLINK_IMAGE is required and not set$"):
        read(("FLINK_IMAGE",))
    assert read(("FLINK_IMAGE",), FLINK_IMAGE="flink:1.20").flink_image == "flink:1.20"


def test_several_clusters_stand_in_for_the_required_one() -> None:
    with pytest.raises(SettingsError, match=r"^FLINK_REST_URL is required and not set$"):
        read(("FLINK_REST_URL",))
    clusters = json.dumps({"batch": {"rest_url": "http://flink:8081"}})
    assert list(read(("FLINK_REST_URL",), FLINK_CLUSTERS=clusters).flink_clusters) == ["batch"]


def test_a_gke_cluster_is_named_where_it_is_used_and_only_there() -> None:
    cluster = "projects/p-1/locations/europe-west1/clusters/main"
    assert read(GKE_CLUSTER=cluster).gke_cluster == cluster
    with pytest.raises(SettingsError, match=r"^GKE_CLUSTER is required by K8S_AUTH gke and not set$"):
        read(K8S_AUTH="gke")
    for auth in ("kubeconfig", "incluster"):
        with pytest.raises(SettingsError, match=rf"^GKE_CLUSTER has no effect with K8S_AUTH {auth}$"):
            read(K8S_AUTH=auth, GKE_CLUSTER=cluster)


def test_secrets_are_not_in_the_representation() -> None:
    assert SECRET not in repr(read(MONGODB_URI=f"mongodb://flinkjobs:{SECRET}@mongo.example"))


@pytest.mark.parametrize(
    ("rest_url", "base", "jobmanager"),
    [
        ("http://flink:8081", "http://flink:8081", "flink:8081"),
        ("http://flink:8081/", "http://flink:8081", "flink:8081"),
        ("http://flink", "http://flink", "flink:80"),
        ("https://flink.example", "https://flink.example", "flink.example:443"),
        ("https://gateway:8443/flink//", "https://gateway:8443/flink", "gateway:8443"),
        ("http://[::1]:8081", "http://[::1]:8081", "[::1]:8081"),
        ("http://user:pass@flink:8081", "http://user:pass@flink:8081", "flink:8081"),
    ],
)
def test_the_job_manager_follows_from_the_rest_url(rest_url: str, base: str, jobmanager: str) -> None:
    cluster = read(FLINK_REST_URL=rest_url).flink_clusters["default"]
    assert cluster == FlinkCluster("default", rest_url=base, history_url=None, jobmanager=jobmanager)


def test_the_addresses_that_people_open_hold_no_credentials() -> None:
    cluster = read(
        FLINK_REST_URL="http://user:pass@flink:8081/base", FLINK_HISTORY_URL="https://user:pass@history/"
    ).flink_clusters["default"]
    assert (cluster.web_url, cluster.history_web_url) == ("http://flink:8081/base", "https://history")
    assert read(FLINK_REST_URL="http://flink:8081").flink_clusters["default"].history_web_url is None


def test_the_default_cluster_may_be_described_in_full() -> None:
    clusters = read(
        FLINK_REST_URL="http://flink:8081",
        FLINK_HISTORY_URL="http://history:8082/",
        FLINK_JOBMANAGER="flink-rpc:6123",
    ).flink_clusters
    assert clusters == {
        "default": FlinkCluster("default", "http://flink:8081", "http://history:8082", "flink-rpc:6123")
    }


def test_several_clusters_and_the_default() -> None:
    described: dict[str, Any] = {
        "batch": {"rest_url": "http://b:8081", "history_url": "http://h:8082", "jobmanager": "b:9"},
        "s.2_x-y": {"rest_url": "http://s:8081", "history_url": None},
    }
    clusters = read(FLINK_REST_URL="http://d:8081", FLINK_CLUSTERS=json.dumps(described)).flink_clusters
    assert clusters == {
        "default": FlinkCluster("default", "http://d:8081", None, "d:8081"),
        "batch": FlinkCluster("batch", "http://b:8081", "http://h:8082", "b:9"),
        "s.2_x-y": FlinkCluster("s.2_x-y", "http://s:8081", None, "s:8081"),
    }


def test_a_cluster_is_described_once() -> None:
    clusters = json.dumps({"default": {"rest_url": "http://other:8081"}})
    with pytest.raises(SettingsError, match=r"^FLINK_CLUSTERS names 'default'"):
        read(FLINK_REST_URL="http://flink:8081", FLINK_CLUSTERS=clusters)
    assert read(FLINK_CLUSTERS=clusters).flink_clusters["default"].rest_url == "http://other:8081"


# --- a cluster behind a proxy -----------------------------------------------------------------------


def entry(rest_url: str = "https://flink.example/base", **fields: Any) -> FlinkCluster:
    clusters = json.dumps({"batch": {"rest_url": rest_url, **fields}})
    return read(FLINK_CLUSTERS=clusters).flink_clusters["batch"]


def test_a_cluster_names_the_files_of_its_authority_its_certificate_and_its_token() -> None:
    files = {
        "ca_file": "/etc/flink/ca.pem",
        "client_cert_file": "/etc/flink/tls.crt",
        "client_key_file": "/etc/flink/tls.key",
        "token_file": "/var/run/token",
    }
    assert entry(**files).access == FlinkAccess(**files)
    assert entry(google_audience="iap-client").access == FlinkAccess(google_audience="iap-client")
    assert entry("http://flink:8081").access == FlinkAccess()


@pytest.mark.parametrize(
    ("rest_url", "fields", "message"),
    [
        ("http://flink:8081", {"ca_file": "/ca"}, "ca_file has no effect"),
        ("http://flink:8081", {"client_cert_file": "/c"}, "client_cert_file has no effect"),
        ("https://flink", {"client_key_file": "/k"}, "client_key_file has no effect without"),
        ("https://flink", {"ca_file": ""}, "ca_file must be one line"),
        ("https://flink", {"token_file": "/t", "google_audience": "a"}, "exclude each other"),
        ("https://u:pw@flink", {"token_file": "/t"}, "token_file and credentials in a URL exclude"),
        ("http://flink:8081", {"token_file": "/t"}, "over https only"),
        ("https://flink", {"token_file": "/t", "history_url": "http://h"}, "over https only"),
        ("https://flink", {"token": "s3cr3t"}, "unknown field"),
        ("https://flink", {"flink_conf": {"pipeline.name": "x"}}, "pipeline.name is how the record finds"),
        ("https://flink", {"flink_conf": {"no blank": "x"}}, "is no option of Flink"),
        ("https://flink", {"flink_conf": {"a": ""}}, "a must be one line"),
        ("https://flink", {"flink_conf": {"s3.secret-key": "hunter2"}}, "s3.secret-key is a secret"),
        ("https://flink", {"jobmanager": "https://flink/base"}, "must have a port"),
        ("https://flink", {"jobmanager": "https://u:hunter2@flink:443"}, "must have no credentials"),
    ],
)
def test_a_field_that_cannot_work_is_named(rest_url: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=rf"^FLINK_CLUSTERS .*{message}") as raised:
        entry(rest_url, **fields)
    assert "hunter2" not in str(raised.value)


def test_the_options_of_a_cluster_name_secrets_by_a_variable_of_the_pod() -> None:
    conf = {"security.ssl.rest.enabled": "true", "security.ssl.rest.truststore-password": "$(PASSWORD)"}
    assert entry(flink_conf=conf).flink_conf == conf


@pytest.mark.parametrize(
    ("rest_url", "lost"),
    [
        ("http://flink:8081", None),
        ("https://flink.example", "https"),
        ("http://flink:8081/base", "the path /base"),
        ("https://u:p@flink/base", "https and the path /base and the credentials"),
    ],
)
def test_what_the_submitter_lacks_of_the_rest_url_is_known_until_a_jobmanager_is_given(
    rest_url: str, lost: str | None
) -> None:
    assert entry(rest_url).lost_to_jobmanager == lost
    assert read(FLINK_REST_URL=rest_url).flink_clusters["default"].lost_to_jobmanager == lost
    for given in ("flink:8081", "https://flink.example:8443/base"):
        assert entry(rest_url, jobmanager=given).lost_to_jobmanager is None
        assert entry(rest_url, jobmanager=given).jobmanager == given


# --- the pod template


def test_a_pod_template_may_be_a_file_of_a_cluster_too(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("spec:\n  priorityClassName: high\n")
    high = {"spec": {"priorityClassName": "high"}}
    clusters = {
        "file": {"rest_url": "http://a", "pod_template": f"@{file}"},
        "inline": {"rest_url": "http://b", "pod_template": high},
        "none": {"rest_url": "http://c"},
    }
    settings = read(POD_TEMPLATE=f"@{file}", FLINK_CLUSTERS=json.dumps(clusters))
    assert settings.pod_template == high
    found = {name: cluster.pod_template for name, cluster in settings.flink_clusters.items()}
    assert found == {"file": high, "inline": high, "none": None}


def test_a_pod_template_that_is_not_yaml_is_refused_with_its_place() -> None:
    with pytest.raises(SettingsError, match=r"^POD_TEMPLATE is neither JSON nor YAML: line 2, column 2$"):
        read(POD_TEMPLATE="metadata: {\n}}")


def test_a_pod_template_is_no_part_of_what_settings_print() -> None:
    template = json.dumps({"spec": {"x": SECRET}})
    clusters = json.dumps({"a": {"rest_url": "http://a", "pod_template": {"x": SECRET}}})
    assert SECRET not in repr(read(POD_TEMPLATE=template, FLINK_CLUSTERS=clusters))


@pytest.mark.parametrize("name", ["CLEANUP_RETENTION_HOURS", "CLEANUP_UNHARVESTED_HOURS"])
def test_a_record_is_kept_as_long_as_cleanup_may_need_it(name: str) -> None:
    assert read(RECORD_RETENTION_DAYS="8", **{name: "192"}).record_retention_days == 8
    with pytest.raises(SettingsError, match=rf"^RECORD_RETENTION_DAYS must be at least {name}, not 8$"):
        read(RECORD_RETENTION_DAYS="8", **{name: "193"})
