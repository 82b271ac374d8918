"""The pod of a submission: every rule of the *restricted* Pod Security Standard, for every shape of request.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from doubles.kubernetes.process import KubernetesDouble
from flinkjobs import USER_AGENT
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.domain.errors import KubernetesRefusedError
from flinkjobs.submit import script_download
from flinkjobs.submit.manifest import config_map_manifest, job_manifest
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Submission, Target, UrlScript
from tests.support.kubernetes_world import KubernetesWorld

Spec = dict[str, Any]

JOB_ID = "etl_1761998400000"
LEAST = Target(
    namespace="lemo-dev",
    image="flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink:8081",
    timeout_seconds=600,
    script_hosts=frozenset({"scripts.example.org"}),
    fetch_program=inspect.getsource(script_download),
)
FULL = Target(
    namespace="lemo-dev",
    image="registry.example.org/flink:1.20",
    flink_bin="/opt/flink/bin/flink",
    jobmanager="flink:8081",
    timeout_seconds=600,
    script_hosts=frozenset({"scripts.example.org"}),
    fetch_program=inspect.getsource(script_download),
    image_pull_secrets=("one", "two"),
    service_account="flink-submitter",
)
SUBMISSIONS = {
    "a path": Submission(template_id="etl", script=PathScript("/jobs/etl.py")),
    "inline": Submission(template_id="etl", script=InlineScript("pass\n")),
    "a URL": Submission(template_id="etl", script=UrlScript("https://scripts.example.org/etl.py")),
    "a module": Submission(template_id="etl", script=None, entry_module="jobs.etl", py_files=("/a.zip",)),
    "attached": Submission(template_id="etl", script=InlineScript("pass\n"), attached=True),
    "everything": Submission(
        template_id="etl",
        script=UrlScript("https://scripts.example.org/etl.py"),
        args=("$(x)", "'\"`", "\n"),
        parallelism=3,
        py_files=("/a.zip",),
        jars=("/a.jar",),
        flink_conf={"a.b": "c"},
        savepoint_path="s3://b/s",
        exactly_once=True,
        resources=Resources(cpu="2", memory="1.5Gi"),
    ),
}
MANIFESTS = {
    f"{name}, {of} target": job_manifest(submission, JOB_ID, target)
    for name, submission in SUBMISSIONS.items()
    for of, target in (("least", LEAST), ("full", FULL))
}


def pod_of(manifest: Spec) -> Spec:
    spec: Spec = manifest["spec"]["template"]["spec"]
    return spec


def containers(pod: Spec) -> Iterator[Spec]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def contexts(pod: Spec) -> Iterator[Spec]:
    """The security contexts of the pod and of all its containers."""
    yield pod.get("securityContext", {})
    yield from (container.get("securityContext", {}) for container in containers(pod))


def effective(pod: Spec, field: str) -> list[Any]:
    """A field of each container's security context, or of the pod's where the container has none."""
    of_pod = pod.get("securityContext", {}).get(field)
    return [container.get("securityContext", {}).get(field, of_pod) for container in containers(pod)]


def every(check: Callable[[Spec], bool]) -> Callable[[Spec], bool]:
    return lambda pod: all(check(container) for container in containers(pod))


def handlers(container: Spec) -> Iterator[Spec]:
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield container.get(probe, {})
    yield from container.get("lifecycle", {}).values()


RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"),
    "secret",
}
SAFE_SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"}


def own(pod: Spec) -> Spec:
    """The security context of the last container, to be spoiled."""
    context: Spec = pod["containers"][-1]["securityContext"]
    return context


Rule = tuple[Callable[[Spec], bool], Callable[[Spec], object]]

RULES: dict[str, Rule] = {
    "baseline: no host process": (
        lambda pod: (
            not any(context.get("windowsOptions", {}).get("hostProcess") for context in contexts(pod))
        ),
        lambda pod: own(pod).update(windowsOptions={"hostProcess": True}),
    ),
    "baseline: no host namespaces": (
        lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        lambda pod: pod.update(hostPID=True),
    ),
    "baseline: not privileged": (
        lambda pod: not any(context.get("privileged") for context in contexts(pod)),
        lambda pod: own(pod).update(privileged=True),
    ),
    "baseline: no host path": (
        lambda pod: not any("hostPath" in volume for volume in pod.get("volumes", ())),
        lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    ),
    "baseline: no host port": (
        every(lambda container: not any(port.get("hostPort") for port in container.get("ports", ()))),
        lambda pod: pod["containers"][0].update(ports=[{"hostPort": 80}]),
    ),
    "baseline: no host of probes and hooks": (
        every(
            lambda container: (
                not any(
                    handler.get(kind, {}).get("host")
                    for handler in handlers(container)
                    for kind in ("httpGet", "tcpSocket")
                )
            )
        ),
        lambda pod: pod["containers"][0].update(livenessProbe={"tcpSocket": {"host": "10.0.0.1"}}),
    ),
    "baseline: the default AppArmor profile": (
        lambda pod: (
            {context.get("appArmorProfile", {}).get("type") for context in contexts(pod)}
            <= {None, "RuntimeDefault", "Localhost"}
        ),
        lambda pod: own(pod).update(appArmorProfile={"type": "Unconfined"}),
    ),
    "baseline: no SELinux of its own": (
        lambda pod: not any("seLinuxOptions" in context for context in contexts(pod)),
        lambda pod: own(pod).update(seLinuxOptions={"type": "spc_t"}),
    ),
    "baseline: the default /proc": (
        lambda pod: {context.get("procMount") for context in contexts(pod)} <= {None, "Default"},
        lambda pod: own(pod).update(procMount="Unmasked"),
    ),
    "baseline: safe sysctls": (
        lambda pod: {sysctl["name"] for sysctl in pod["securityContext"].get("sysctls", ())} <= SAFE_SYSCTLS,
        lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    ),
    "restricted: volume types": (
        lambda pod: all(set(volume) - {"name"} <= RESTRICTED_VOLUMES for volume in pod.get("volumes", ())),
        lambda pod: pod["volumes"].append({"name": "x", "nfs": {"server": "x", "path": "/"}}),
    ),
    "restricted: no privilege escalation": (
        every(lambda container: container["securityContext"].get("allowPrivilegeEscalation") is False),
        lambda pod: own(pod).pop("allowPrivilegeEscalation"),
    ),
    "restricted: not as root": (
        lambda pod: all(value is True for value in effective(pod, "runAsNonRoot")),
        lambda pod: own(pod).update(runAsNonRoot=False),
    ),
    "restricted: no user 0": (
        lambda pod: all(context.get("runAsUser") != 0 for context in contexts(pod)),
        lambda pod: own(pod).update(runAsUser=0),
    ),
    "restricted: seccomp": (
        lambda pod: all(
            profile is not None and profile.get("type") in ("RuntimeDefault", "Localhost")
            for profile in effective(pod, "seccompProfile")
        ),
        lambda pod: own(pod).update(seccompProfile={"type": "Unconfined"}),
    ),
    "restricted: all capabilities dropped": (
        every(lambda container: "ALL" in container["securityContext"]["capabilities"]["drop"]),
        lambda pod: own(pod).update(capabilities={"drop": ["NET_RAW"]}),
    ),
    "restricted: no capability added": (
        every(
            lambda container: (
                set(container["securityContext"]["capabilities"].get("add", ())) <= {"NET_BIND_SERVICE"}
            )
        ),
        lambda pod: own(pod)["capabilities"].update(add=["SYS_ADMIN"]),
    ),
    "ours: no token of a service account": (
        lambda pod: pod.get("automountServiceAccountToken") is False,
        lambda pod: pod.pop("automountServiceAccountToken"),
    ),
    "ours: CPU and memory, requested and limited": (
        every(
            lambda container: (
                set(container["resources"]["requests"])
                == set(container["resources"]["limits"])
                == {"cpu", "memory"}
            )
        ),
        lambda pod: pod["containers"][0]["resources"].pop("limits"),
    ),
    "ours: scripts are mounted read-only where they run": (
        lambda pod: all(
            mount.get("readOnly") for one in pod["containers"] for mount in one.get("volumeMounts", ())
        ),
        lambda pod: pod["containers"][0].update(volumeMounts=[{"name": "x", "mountPath": "/x"}]),
    ),
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_pod_keeps_the_rule(rule: Rule, manifest: Spec) -> None:
    keeps, _ = rule
    assert keeps(pod_of(manifest))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_rule_would_be_seen_broken(rule: Rule) -> None:
    keeps, spoil = rule
    pod = copy.deepcopy(pod_of(MANIFESTS["everything, full target"]))
    spoil(pod)
    try:
        kept = keeps(pod)
    except KeyError:
        kept = False
    assert not kept


@pytest.mark.parametrize("name", [name for name in MANIFESTS if "URL" in name or "everything" in name])
def test_a_script_by_url_is_fetched_by_an_init_container_without_a_shell(name: str) -> None:
    pod = pod_of(MANIFESTS[name])
    [fetching] = pod["initContainers"]
    assert fetching["name"] == "fetch"
    assert fetching["image"] == pod["containers"][0]["image"]
    program, option, source, *arguments = fetching["command"]
    assert (program, option) == ("python3", "-c")
    assert source == inspect.getsource(script_download)
    assert arguments == [
        "https://scripts.example.org/etl.py",
        "/opt/flinkjobs/job.py",
        USER_AGENT,
        "scripts.example.org",
    ]
    [mount] = fetching["volumeMounts"]
    assert (mount["mountPath"], mount.get("readOnly", False)) == ("/opt/flinkjobs", False)


def test_secrets_for_the_registry_and_the_service_account_are_those_of_the_settings() -> None:
    full, least = pod_of(MANIFESTS["inline, full target"]), pod_of(MANIFESTS["inline, least target"])
    assert full["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert full["serviceAccountName"] == "flink-submitter"
    assert not {"imagePullSecrets", "serviceAccountName"} & set(least)


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_a_finished_job_goes_by_itself_long_after_cleanup_should_have_taken_it(manifest: Spec) -> None:
    """Cleanup keeps an unharvested Job for a week."""
    assert manifest["spec"]["ttlSecondsAfterFinished"] > 2 * 168 * 3600


@pytest.mark.parametrize("shape", SUBMISSIONS)
def test_a_strict_api_server_accepts_both_objects(
    shape: str, kubernetes_double: KubernetesDouble, kubernetes_world: KubernetesWorld
) -> None:
    """Asked for strict validation, it refuses a field that it does not know, and a value of another type."""
    api = kubernetes_client.connect(
        "lemo-dev", auth="kubeconfig", kubeconfig=str(kubernetes_double.kubeconfig), in_cluster=False
    )
    job = api.create_job(MANIFESTS[f"{shape}, full target"])
    script = SUBMISSIONS[shape].script
    if isinstance(script, InlineScript):
        api.create_config_map(
            config_map_manifest(script, JOB_ID, namespace="lemo-dev", job_name=job.name, job_uid=job.uid)
        )
    stored = kubernetes_world.get("jobs", job.name)
    assert stored is not None
    sent = pod_of(MANIFESTS[f"{shape}, full target"])
    kept = pod_of(stored)
    with pytest.raises(KubernetesRefusedError, match="unknownField"):
        api.create_job(MANIFESTS[f"{shape}, full target"] | {"unknownField": 1})
    assert kept["containers"][0]["command"] == sent["containers"][0]["command"]
    assert kept["securityContext"] == sent["securityContext"]
