"""From a submission to the Job and the ConfigMap that Kubernetes is asked to create."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain.naming import fixed_flink_job_id, kubernetes_job_name, label_safe, short_hash, slug
from flinkjobs.submit.manifest import (
    SUBMITTER,
    config_map_manifest,
    flink_command,
    job_manifest,
)
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Submission, Target

TARGET = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink:8081",
    timeout_seconds=600,
)
JOB_ID = "etl_1761998400000"
PLAIN = Submission(template_id="etl", script=PathScript("/opt/jobs/etl.py"))
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

TEMPLATE_IDS = [
    "etl",
    "ETL_Daily.v2",
    "a" * 100,
    "a" * 39,
    "a" * 40,
    "a" * 38 + "_b",
    "日报表",
    "日报-daily-表",
    "___",
    "-",
    "",
    "İstanbul",
    "ﬁnance",
    "1",
    "a--b..c__d",
]


@pytest.mark.parametrize("template_id", TEMPLATE_IDS)
def test_a_job_name_leaves_room_for_the_pods_suffix_and_is_a_dns_label(template_id: str) -> None:
    name = kubernetes_job_name(template_id, f"{template_id}_1761998400000")
    assert len(name) <= 57
    assert DNS_LABEL.fullmatch(name)
    assert re.fullmatch(r"flink-py-[a-z0-9-]+-[0-9a-f]{8}", name)


def test_the_longest_job_name_uses_all_57_characters() -> None:
    assert len(kubernetes_job_name("a" * 100, JOB_ID)) == 57


@pytest.mark.parametrize(
    ("template_id", "middle"),
    [
        ("ETL_Daily.v2", "etl-daily-v2"),
        ("a--b..c__d", "a-b-c-d"),
        ("日报-daily-表", "daily"),
        ("日报表", "job"),
        ("a" * 38 + "_b", "a" * 38),
    ],
    ids=["lower case", "single dashes", "non-ASCII falls out", "nothing left", "no dash at the cut"],
)
def test_the_template_can_be_read_in_the_name(template_id: str, middle: str) -> None:
    assert kubernetes_job_name(template_id, JOB_ID) == f"flink-py-{middle}-{short_hash(JOB_ID)}"


def test_a_name_is_deterministic_and_differs_by_job_id() -> None:
    """SHA-256 of "abc" begins with ba7816bf (FIPS 180-2, appendix B.1)."""
    assert kubernetes_job_name("etl", "abc") == "flink-py-etl-ba7816bf"
    assert kubernetes_job_name("etl", "etl_1") != kubernetes_job_name("etl", "etl_2")


@pytest.mark.parametrize("limit", [0, 1, 5, 50])
@pytest.mark.parametrize("text", TEMPLATE_IDS)
def test_a_slug_keeps_its_limit_and_neither_begins_nor_ends_with_a_dash(text: str, limit: int) -> None:
    result = slug(text, limit)
    assert len(result) <= limit
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", result)


@pytest.mark.parametrize(
    "job_id",
    ["etl_1761998400000", "a", "a.b-c_d", "A" * 63],
    ids=["usual", "one character", "every allowed sign", "63 characters"],
)
def test_a_job_id_that_is_a_label_value_is_its_own_label(job_id: str) -> None:
    assert label_safe(job_id) == job_id


@pytest.mark.parametrize(
    "job_id",
    ["A" * 64, "etl_", ".etl", "日报_1761998400000", "a b", "a/b", "", "etl_1\n", "-" * 63, "é"],
)
def test_any_other_job_id_gets_a_valid_stand_in(job_id: str) -> None:
    label = label_safe(job_id)
    assert LABEL_VALUE.fullmatch(label)
    assert label != job_id


def test_stand_ins_of_different_ids_differ() -> None:
    ids = ["x" * 64, "x" * 65, "x" * 64 + "y", "日报_1", "日报_2", "月报_1"]
    assert len({label_safe(job_id) for job_id in ids}) == len(ids)


# --- the command ------------------------------------------------------------------------------------


def test_the_least_command() -> None:
    assert flink_command(PLAIN, JOB_ID, TARGET) == (
        "/opt/flink/bin/flink",
        "run",
        "-d",
        "-m",
        "flink:8081",
        "-Dpipeline.name=etl_1761998400000",
        "-py",
        "/opt/jobs/etl.py",
    )


def test_the_whole_command() -> None:
    submission = Submission(
        template_id="etl",
        script=None,
        entry_module="jobs.daily",
        args=("--day", "2025-11-01", "-d"),
        parallelism=4,
        py_files=("/a.zip", "/b c.py"),
        jars=("file:///x.jar", "file:///y.jar"),
        flink_conf={"b.key": "2 $(x)", "a.key": ""},
        savepoint_path="s3://bucket/savepoint",
        allow_non_restored_state=True,
        exactly_once=True,
    )
    assert flink_command(submission, "abc", TARGET) == (
        *("/opt/flink/bin/flink", "run", "-d", "-m", "flink:8081", "-Dpipeline.name=abc"),
        "-D$internal.pipeline.job-id=ba7816bf8f01cfea414140de5dae2223",  # SHA-256 of "abc", FIPS 180-2
        *("-Da.key=", "-Db.key=2 $(x)"),
        *("-p", "4", "-s", "s3://bucket/savepoint", "-n", "-j", "file:///x.jar", "-j", "file:///y.jar"),
        *("-pyfs", "/a.zip,/b c.py", "-pym", "jobs.daily"),
        *("--", "--", "--day", "2025-11-01", "-d"),
    )


def test_attached_leaves_out_the_detached_flag() -> None:
    assert "-d" not in flink_command(replace(PLAIN, attached=True), JOB_ID, TARGET)


def test_an_inline_script_runs_from_where_it_is_mounted() -> None:
    command = flink_command(replace(PLAIN, script=InlineScript("pass")), JOB_ID, TARGET)
    assert command[-2:] == ("-py", "/opt/flinkjobs/job.py")


@given(st.lists(st.text(), min_size=1))
def test_arguments_stand_behind_two_double_dashes_as_they_are(arguments: list[str]) -> None:
    command = flink_command(replace(PLAIN, args=tuple(arguments)), JOB_ID, TARGET)
    assert command[-len(arguments) - 2 :] == ("--", "--", *arguments)


def test_the_fixed_id_is_a_flink_job_id() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", fixed_flink_job_id(JOB_ID))
    assert fixed_flink_job_id(JOB_ID) != fixed_flink_job_id("etl_1761998400001")


# --- what the process receives ----------------------------------------------------------------------


def received(text: str) -> bytes:
    """What Kubernetes hands to the process for one element of `command`.

    By the API reference of `Container.command`, and byte for byte as the kubelet does it: `$$` becomes
    `$`; `$(NAME)` is replaced (here by a word that no test uses); of any other `$x` the `x` is one byte
    that is written out as the character of that number.
    """
    raw, out, at = text.encode(), bytearray(), 0
    while at < len(raw):
        following = raw[at + 1 : at + 2]
        if raw[at : at + 1] != b"$" or not following:
            out += raw[at : at + 1]
            at += 1
        elif following == b"(" and b")" in raw[at + 2 :]:
            out += b"REPLACED"
            at = raw.index(b")", at) + 1
        else:
            out += b"$" if following == b"$" else b"$" + chr(following[0]).encode()
            at += 2
    return bytes(out)


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


DOLLARS = [
    "$(HOME)",
    "$$(HOME)",
    "$$$(HOME)",
    "$",
    "$$",
    "$$$",
    "a$",
    "$a",
    "${HOME}",
    "$(",
    "$(a",
    "$)",
    "$中",
    "$$é",
    "$😀",
]


@pytest.mark.parametrize(
    "argument", [*DOLLARS, "'; rm -rf / #", "`id`", 'a"b', "a\nb\r\tc", "--", "-d", "", " "]
)
def test_kubernetes_hands_over_every_argument_as_it_was_sent(argument: str) -> None:
    command = container_of(job_manifest(replace(PLAIN, args=(argument,)), JOB_ID, TARGET))["command"]
    assert received(command[-1]) == argument.encode()


@given(st.text(st.sampled_from("$(){}A中é\n"), max_size=12))
def test_kubernetes_hands_over_any_mixture_of_dollars_and_brackets(argument: str) -> None:
    command = container_of(job_manifest(replace(PLAIN, args=(argument,)), JOB_ID, TARGET))["command"]
    assert received(command[-1]) == argument.encode()


def test_the_program_is_fixed_and_arrives_whole() -> None:
    """No value of a request is ever part of the shell's text."""
    nasty = replace(PLAIN, args=("$(id)", "'\"`"), flink_conf={"k": "'; id; '"}, job_name="'; id; '")
    plain, other = (
        container_of(job_manifest(submission, JOB_ID, TARGET))["command"] for submission in (PLAIN, nasty)
    )
    assert plain[:4] == other[:4]
    assert [received(part) for part in plain[:4]] == [
        b"/bin/bash",
        b"-c",
        SUBMITTER.encode(),
        b"flinkjobs-submit",
    ]


def test_behind_the_program_come_its_limit_its_message_path_and_the_command() -> None:
    command = container_of(job_manifest(PLAIN, JOB_ID, TARGET))["command"]
    assert command[4:] == ["600", "/dev/termination-log", *flink_command(PLAIN, JOB_ID, TARGET)]


# --- the Job ----------------------------------------------------------------------------------------

MANIFEST = job_manifest(PLAIN, JOB_ID, TARGET)
POD_SPEC = MANIFEST["spec"]["template"]["spec"]


def test_kubernetes_tries_once() -> None:
    spec = MANIFEST["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert POD_SPEC["restartPolicy"] == "Never"


LABELS = {"app": "flink-python-job", "job-id": JOB_ID}
ANNOTATIONS = {"flinkjobs/job-id": JOB_ID}


def test_the_job_carries_the_labels_and_the_exact_job_id() -> None:
    assert MANIFEST["metadata"]["labels"] == LABELS
    assert MANIFEST["metadata"]["annotations"] == ANNOTATIONS


def test_the_pods_carry_the_same_and_refuse_injection() -> None:
    """A sidecar that outlives the submitter keeps the Job active."""
    assert MANIFEST["spec"]["template"]["metadata"] == {
        "labels": {**LABELS, "sidecar.istio.io/inject": "false"},
        "annotations": {
            **ANNOTATIONS,
            "sidecar.istio.io/inject": "false",
            "linkerd.io/inject": "disabled",
            "vault.hashicorp.com/agent-inject": "false",
        },
    }


def test_the_pods_say_nothing_of_injection_where_the_settings_allow_it() -> None:
    manifest = job_manifest(PLAIN, JOB_ID, replace(TARGET, allow_injection=True))
    assert manifest["spec"]["template"]["metadata"] == {"labels": LABELS, "annotations": ANNOTATIONS}


def test_the_job_and_its_pods_carry_the_submissions_labels_under_ours() -> None:
    """Whatever a submission says: sync and cleanup find the objects by ours."""
    own = {"team": "search", "app": "mine", "job-id": "other", "sidecar.istio.io/inject": "true"}
    manifest = job_manifest(replace(PLAIN, labels=own), JOB_ID, TARGET)
    pod = manifest["spec"]["template"]["metadata"]
    assert manifest["metadata"]["labels"] == {**own, **LABELS}
    assert pod["labels"] == {"team": "search", **LABELS, "sidecar.istio.io/inject": "false"}


def test_a_job_id_that_is_no_label_value_stays_exact_in_the_annotation() -> None:
    metadata = job_manifest(PLAIN, "日报_1761998400000", TARGET)["metadata"]
    assert LABEL_VALUE.fullmatch(metadata["labels"]["job-id"])
    assert metadata["annotations"]["flinkjobs/job-id"] == "日报_1761998400000"


def test_the_job_is_named_and_placed() -> None:
    assert (MANIFEST["apiVersion"], MANIFEST["kind"]) == ("batch/v1", "Job")
    assert MANIFEST["metadata"]["name"] == kubernetes_job_name("etl", JOB_ID)
    assert MANIFEST["metadata"]["namespace"] == "lemo-dev"


def test_the_jobs_own_deadline_is_a_backstop_because_it_deletes_the_log() -> None:
    assert MANIFEST["spec"]["activeDeadlineSeconds"] >= TARGET.timeout_seconds + 600


def test_an_attached_submitter_has_no_time_limit_at_all() -> None:
    manifest = job_manifest(replace(PLAIN, attached=True), JOB_ID, TARGET)
    assert "activeDeadlineSeconds" not in manifest["spec"]
    assert container_of(manifest)["command"][4] == "0"


def test_the_ids_come_back_in_the_termination_message() -> None:
    submit = container_of(MANIFEST)
    assert submit["name"] == "submit"
    assert submit["terminationMessagePath"] == submit["command"][5]
    assert submit["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_resources_are_those_of_the_request() -> None:
    manifest = job_manifest(replace(PLAIN, resources=Resources(cpu="2", memory="4Gi")), JOB_ID, TARGET)
    quantities = {"cpu": "2", "memory": "4Gi"}
    assert container_of(manifest)["resources"] == {"requests": quantities, "limits": quantities}


def test_the_pod_satisfies_the_restricted_profile() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    pod_security, own = POD_SPEC["securityContext"], container_of(MANIFEST)["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(POD_SPEC)
    assert pod_security["runAsNonRoot"] is True
    assert pod_security["runAsUser"] != 0
    assert pod_security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert POD_SPEC["automountServiceAccountToken"] is False


def test_a_script_of_the_image_needs_no_volume() -> None:
    assert (POD_SPEC["volumes"], container_of(MANIFEST)["volumeMounts"]) == ([], [])


def test_an_inline_script_is_mounted_from_the_config_map_of_the_jobs_name() -> None:
    script = InlineScript("print('作业')\n")
    manifest = job_manifest(replace(PLAIN, script=script), JOB_ID, TARGET)
    name = manifest["metadata"]["name"]
    (volume,) = manifest["spec"]["template"]["spec"]["volumes"]
    (mount,) = container_of(manifest)["volumeMounts"]
    assert volume["configMap"]["name"] == name
    assert volume["configMap"]["defaultMode"] & 0o222 == 0
    assert (mount["name"], mount["mountPath"], mount["readOnly"]) == (volume["name"], "/opt/flinkjobs", True)
    config_map = config_map_manifest(script, JOB_ID, namespace="lemo-dev", job_name=name, job_uid="uid-1")
    assert config_map["metadata"]["name"] == name
    assert config_map["data"] == {"job.py": "print('作业')\n"}


def test_the_config_map_is_immutable_and_goes_when_its_job_goes() -> None:
    config_map = config_map_manifest(
        InlineScript("pass"), JOB_ID, namespace="lemo-dev", job_name="flink-py-etl-1", job_uid="uid-1"
    )
    assert config_map["immutable"] is True
    assert config_map["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": "flink-py-etl-1", "uid": "uid-1"}
    ]
    assert config_map["metadata"]["labels"]["app"] == "flink-python-job"


def test_the_options_of_the_cluster_stand_under_those_of_the_submission_and_may_name_a_variable() -> None:
    of_cluster = {"b.key": "2", "a.key": "1", "ssl.key-password": "$(KEY_PASSWORD)"}
    submission = replace(PLAIN, cluster_conf=of_cluster, flink_conf={"b.key": "$(own)"})
    pod = job_manifest(submission, JOB_ID, TARGET)["spec"]["template"]["spec"]
    given = [word for word in pod["containers"][0]["command"] if word.startswith("-D") and "key" in word]
    assert given == ["-Da.key=1", "-Db.key=$$(own)", "-Dssl.key-password=$(KEY_PASSWORD)"]
