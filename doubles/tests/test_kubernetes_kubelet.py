"""Pods as processes: what a container is given, and what becomes known of it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.kubernetes.process import KubernetesDouble
from doubles.tests.kubernetes_helpers import Cluster, Obj, config_map, true_conditions, until

ECHO = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('SEEN')]))"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("image")
    tool = directory / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "tool $0 $*"\n')
    tool.chmod(0o755)
    (directory / "bin" / "data").write_text("no program")
    return directory


@pytest.fixture(scope="module")
def cluster(image: Path) -> Iterator[Cluster]:
    environment = {"PATH": "/opt/flink/bin:/usr/bin:/bin", "FLINK_HOME": "/opt/flink"}
    with KubernetesDouble(
        image_paths={"/opt/flink": image}, image_environment=environment, backoff_seconds=0.05, max_running=6
    ) as double:
        cluster = Cluster(double)
        yield cluster
        cluster.close()
    assert "Traceback" not in double.output


def test_a_successful_pod(cluster: Cluster) -> None:
    cluster.submit("good", "sh", "-c", 'echo "id 42" > "$0"; echo out; echo err >&2', "/dev/termination-log")
    job = cluster.finished("good")
    assert true_conditions(job) == ["SuccessCriteriaMet", "Complete"]
    [pod] = cluster.pods_of("good")
    status = pod["status"]
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Succeeded", "127.0.0.1", "127.0.0.1")
    assert pod["spec"]["nodeName"] == "local-node"
    [container] = status["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "id 42\n")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert (container["ready"], container["restartCount"]) == (False, 0)
    assert true_conditions(pod) == ["PodScheduled", "Initialized"]
    assert cluster.log_of("good") == b"out\nerr\n"
    assert cluster.reasons("Pod", pod["metadata"]["name"]) == ["Scheduled", "Pulled", "Created", "Started"]
    assert cluster.reasons("Job", "good") == ["SuccessfulCreate", "Completed"]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 31", 31), ("exit 1", 1), ("kill -9 $$$$", 137), ("kill -15 $$$$", 143)]
)
def test_exit_codes(cluster: Cluster, script: str, code: int) -> None:
    name = f"exit-{code}"
    cluster.submit(name, "sh", "-c", script)
    ended = cluster.terminated(name)
    assert (ended["exitCode"], ended["reason"]) == (code, "Error")
    assert true_conditions(cluster.job(name)) == ["FailureTarget", "Failed"]


def test_arguments_arrive_byte_for_byte(cluster: Cluster) -> None:
    given = [
        "a b",
        "'\"`",
        "$(HOME) $HOME ${X}",
        "two\nlines\t",
        "😀ü",
        "",
        "-x",
        "*",
        "\\",
        "$(FLINK_HOME)",
        "&& ls",
    ]
    seen = "quote ' \" $(id) \n 😀"
    env = [{"name": "SEEN", "value": seen}]
    cluster.submit("argv", sys.executable, "-c", ECHO, container={"args": given, "env": env})
    assert json.loads(cluster.log_of("argv")) == [given, seen]


def test_variables_and_paths_are_those_of_the_container(cluster: Cluster, image: Path) -> None:
    env = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SEEN", "value": "/opt/flink/x"},
    ]
    args = ["$(POD)", "$$(POD)", "$(NOPE)", "/opt/flink/lib", "x /opt/flink/lib"]
    cluster.submit("vars", sys.executable, "-c", ECHO, container={"args": args, "env": env})
    arguments, seen = json.loads(cluster.log_of("vars"))
    pod = cluster.pod_of("vars")["metadata"]["name"]
    assert arguments == [pod, "$(POD)", "$(NOPE)", f"{image}/lib", "x /opt/flink/lib"]
    assert seen == f"{image}/x"


def test_programs_of_the_image_are_found(cluster: Cluster, image: Path) -> None:
    cluster.submit("tool-path", "/opt/flink/bin/tool", "1")
    cluster.submit("tool-name", "tool", "2")
    cluster.submit("tool-dir", "bin/tool", "3", container={"workingDir": "/opt/flink"})
    assert cluster.log_of("tool-path") == f"tool {image}/bin/tool 1\n".encode()
    assert cluster.log_of("tool-name") == f"tool {image}/bin/tool 2\n".encode()
    assert cluster.log_of("tool-dir") == b"tool bin/tool 3\n"


@pytest.mark.parametrize(
    ("name", "command", "part"),
    [
        ("start-a", "/opt/flink/bin/none", "no such file or directory"),
        ("start-b", "no-such-program", 'exec: "no-such-program": executable file not found in $PATH'),
        ("start-c", "/opt/flink/bin/data", "permission denied"),
    ],
)
def test_what_cannot_be_executed(cluster: Cluster, name: str, command: str, part: str) -> None:
    cluster.submit(name, command)
    ended = cluster.terminated(name)
    assert (ended["exitCode"], ended["reason"], ended["startedAt"]) == (
        128,
        "StartError",
        "1970-01-01T00:00:00Z",
    )
    assert part in ended["message"]
    assert "OCI runtime create failed" in ended["message"]
    assert true_conditions(cluster.job(name)) == ["FailureTarget", "Failed"]


def test_the_end_of_a_long_termination_message_is_kept(cluster: Cluster) -> None:
    script = "import sys; open(sys.argv[1], 'w').write('x' * 5000 + 'end')"
    container = {"args": ["/run/message"], "terminationMessagePath": "/run/message"}
    cluster.submit("long", sys.executable, "-c", script, container=container)
    assert cluster.terminated("long")["message"] == "x" * 4093 + "end"


@pytest.mark.parametrize(
    ("name", "script", "message"),
    [
        ("fall-a", "seq 1 100; exit 3", "".join(f"{number}\n" for number in range(21, 101))),
        ("fall-b", "seq 1 100", None),
        ("fall-c", 'echo own > "$0"; echo log; exit 3', "own\n"),
        ("fall-d", "printf '%03000d' 7; exit 3", "0" * 2047 + "7"),
    ],
)
def test_the_log_stands_in_for_a_missing_message(
    cluster: Cluster, name: str, script: str, message: str | None
) -> None:
    container = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    cluster.submit(name, "sh", "-c", script, "/dev/termination-log", container=container)
    assert cluster.terminated(name).get("message") == message


def test_a_config_map_may_come_after_the_job(cluster: Cluster) -> None:
    mounts = [{"name": "script", "mountPath": "/data/script"}, {"name": "tmp", "mountPath": "/data/tmp"}]
    volumes = [{"name": "script", "configMap": {"name": "late"}}, {"name": "tmp", "emptyDir": {}}]
    script = 'cat "$0"; echo kept > "$1"; cat "$1"'
    cluster.submit(
        "late",
        "sh",
        "-c",
        script,
        "/data/script/job.py",
        "/data/tmp/file",
        container={"volumeMounts": mounts},
        pod={"volumes": volumes},
    )
    pod = cluster.pod_of("late")["metadata"]["name"]
    expected = 'MountVolume.SetUp failed for volume "script" : configmap "late" not found'
    assert cluster.message(pod, "FailedMount") == expected
    cluster.waiting("late", "ContainerCreating")
    answer = cluster.log(pod)
    assert answer.status_code == 400
    assert (
        answer.json()["message"]
        == f'container "submit" in pod "{pod}" is waiting to start: ContainerCreating'
    )
    cluster.create(cluster.maps, config_map("late", **{"job.py": "print('😀')\n"}))
    assert cluster.log_of("late").decode() == "print('😀')\nkept\n"


def test_a_missing_key_is_a_configuration_error_until_it_is_there(cluster: Cluster) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "k"}}}]
    cluster.submit("keyed", "sh", "-c", "echo $X", container={"env": env})
    assert cluster.waiting("keyed", "CreateContainerConfigError")["message"] == 'configmap "keys" not found'
    cluster.create(cluster.maps, config_map("keys", k="v"))
    assert cluster.log_of("keyed") == b"v\n"


def test_init_containers_run_one_after_another_before_the_rest(cluster: Cluster) -> None:
    shared = {"volumeMounts": [{"name": "s", "mountPath": "/s"}], "image": "flink:1.20"}
    init = [
        {"name": f"i{number}", "command": ["sh", "-c", f'echo {number} >> "$0"', "/s/f"], **shared}
        for number in (1, 2)
    ]
    cluster.submit(
        "init",
        "cat",
        "/s/f",
        container={"volumeMounts": shared["volumeMounts"]},
        pod={"initContainers": init, "volumes": [{"name": "s", "emptyDir": {}}]},
    )
    assert cluster.log_of("init") == b"1\n2\n"


def test_a_failing_init_container_fails_the_pod(cluster: Cluster) -> None:
    init = [{"name": "i", "image": "flink:1.20", "command": ["sh", "-c", "echo broken; exit 4"]}]
    cluster.submit("init-bad", "true", pod={"initContainers": init})
    cluster.finished("init-bad")
    [pod] = cluster.pods_of("init-bad")
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert pod["status"]["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert cluster.log(pod["metadata"]["name"], container="i").content == b"broken\n"


def test_a_pod_of_two_containers_fails_by_one_of_them(cluster: Cluster) -> None:
    containers = [
        {"name": name, "image": "flink:1.20", "command": ["sh", "-c", f"echo {name}; exit {code}"]}
        for name, code in (("left", 0), ("right", 2))
    ]
    cluster.submit("two", pod={"containers": containers})
    assert true_conditions(cluster.finished("two")) == ["FailureTarget", "Failed"]
    name = cluster.pod_of("two")["metadata"]["name"]
    answer = cluster.log(name)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"].endswith("choose one of: [left right]")
    assert cluster.log(name, container="right").content == b"right\n"


def test_a_sidecar_is_stopped_when_the_work_is_done(cluster: Cluster) -> None:
    sidecar = {"name": "s", "image": "flink:1.20", "command": ["sleep", "600"], "restartPolicy": "Always"}
    cluster.submit("sidecar", "true", pod={"initContainers": [sidecar]})
    assert true_conditions(cluster.finished("sidecar"))[-1] == "Complete"
    [pod] = cluster.pods_of("sidecar")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 143


def test_restarts_in_place_keep_the_previous_log(cluster: Cluster) -> None:
    script = 'if [ -e "$0" ]; then echo second; else touch "$0"; echo first; exit 5; fi'
    cluster.submit(
        "again",
        "sh",
        "-c",
        script,
        "/s/mark",
        backoffLimit=5,
        container={"volumeMounts": [{"name": "s", "mountPath": "/s"}]},
        pod={"restartPolicy": "OnFailure", "volumes": [{"name": "s", "emptyDir": {}}]},
    )
    assert cluster.log_of("again") == b"second\n"
    [pod] = cluster.pods_of("again")
    [container] = pod["status"]["containerStatuses"]
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 5
    assert cluster.log(pod["metadata"]["name"], previous="true").content == b"first\n"


def test_failed_pods_are_replaced_up_to_the_limit(cluster: Cluster) -> None:
    cluster.submit("retry", "sh", "-c", "echo try; exit 1", backoffLimit=2)
    job = cluster.finished("retry")
    pods = cluster.pods_of("retry")
    assert (job["status"]["failed"], len(pods)) == (3, 3)
    assert {cluster.log(pod["metadata"]["name"]).content for pod in pods} == {b"try\n"}


def test_the_log_while_the_container_runs(cluster: Cluster) -> None:
    cluster.submit("talk", "sh", "-c", "echo begun; sleep 600")
    pod = cluster.running("talk")["metadata"]["name"]
    until("the first line is there", lambda: cluster.log(pod).content == b"begun\n")
    with cluster.http.stream("GET", f"{cluster.pods}/{pod}/log", params={"follow": "true"}) as answer:
        lines = answer.iter_raw()
        assert next(lines) == b"begun\n"
        cluster.delete(f"{cluster.jobs}/talk", propagationPolicy="Background")
        assert list(lines) == []
    until("the pod is gone", lambda: not cluster.pods_of("talk"))
    assert cluster.log(pod).status_code == 404


def test_log_options_reach_the_log(cluster: Cluster) -> None:
    cluster.submit("lines", "sh", "-c", "printf 'a\\nb\\nc\\377\\n'")
    cluster.finished("lines")
    pod = cluster.pod_of("lines")["metadata"]["name"]
    assert cluster.log(pod, tailLines=1).content == b"c\xff\n"
    assert cluster.log(pod, limitBytes=3).content == b"a\nb"
    first = cluster.log(pod, timestamps="true").content.splitlines()[0]
    assert len(first) == len("2026-03-01T12:00:00.000000000Z a")
    assert cluster.log(pod, tailLines=-1).status_code == 422


def test_ten_mebibytes_of_log(cluster: Cluster) -> None:
    script = "import sys\nfor n in range(160000): print(n, 'x' * 70)\nprint('the end')"
    cluster.submit("big", sys.executable, "-c", script)
    content = cluster.log_of("big")
    assert len(content) > 10 * 1024 * 1024
    assert content.splitlines()[-1] == b"the end"
    assert content.count(b"\n") == 160_001


def test_a_deleted_pod_may_finish_within_its_grace_period(cluster: Cluster) -> None:
    script = "trap 'echo bye > \"$0\"; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    mounts = [{"name": "s", "mountPath": "/s"}]
    cluster.submit(
        "polite",
        "sh",
        "-c",
        script,
        "/dev/termination-log",
        container={"volumeMounts": mounts},
        pod={"volumes": [{"name": "s", "emptyDir": {}}]},
    )
    pod = cluster.running("polite")["metadata"]["name"]
    until("it is ready", lambda: cluster.log(pod).content == b"ready\n")
    assert cluster.delete(f"{cluster.pods}/{pod}", gracePeriodSeconds=20).status_code == 200
    job = cluster.finished("polite")
    assert cluster.pods_of("polite") == []
    assert job["status"]["succeeded"] == 1, "it ended by itself with 0, so the pod counts as a success"


def test_evict_running_pod_marks_it_and_stops_it(cluster: Cluster) -> None:
    """The kubelet keeps the API server's condition; a finalizer holds the pod for the test."""
    cluster.submit("marked", "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    pod = cluster.running("marked")["metadata"]["name"]
    until("it has begun", lambda: cluster.log(pod).content == b"ready\n")
    path, merge = f"{cluster.pods}/{pod}", {"Content-Type": "application/merge-patch+json"}
    held = [*cluster.get(path)["metadata"]["finalizers"], "example.org/keep"]
    cluster.http.patch(path, json={"metadata": {"finalizers": held}}, headers=merge)
    assert cluster.evict(pod, gracePeriodSeconds=20).status_code == 201
    assert true_conditions(cluster.finished("marked"))[-1] == "Failed"
    status = cluster.get(path)["status"]
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    [condition] = [one for one in status["conditions"] if one["type"] == "DisruptionTarget"]
    assert (condition["reason"], condition["message"]) == ("EvictionByEvictionAPI", "Eviction API: evicting")
    cluster.http.patch(path, json={"metadata": {"finalizers": None}}, headers=merge)
    until("the pod is gone", lambda: cluster.http.get(path).status_code == 404)


def test_a_stubborn_pod_is_killed_after_its_grace_period(cluster: Cluster) -> None:
    cluster.submit("stubborn", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    pod = cluster.running("stubborn")["metadata"]["name"]
    until("it is ready", lambda: cluster.log(pod).content == b"ready\n")
    assert cluster.delete(f"{cluster.pods}/{pod}", gracePeriodSeconds=1).status_code == 200
    assert cluster.get(f"{cluster.pods}/{pod}")["metadata"]["deletionGracePeriodSeconds"] == 1
    assert cluster.finished("stubborn")["status"]["failed"] == 1


def test_the_jobs_deadline_deletes_pod_and_log(cluster: Cluster) -> None:
    cluster.submit("dead", "sleep", "600", activeDeadlineSeconds=1)
    pod = cluster.pod_of("dead")["metadata"]["name"]
    job = cluster.finished("dead")
    reasons = [(one["type"], one["reason"]) for one in job["status"]["conditions"]]
    assert reasons == [("FailureTarget", "DeadlineExceeded"), ("Failed", "DeadlineExceeded")]
    assert cluster.pods_of("dead") == []
    assert cluster.log(pod).status_code == 404


def test_a_pods_own_deadline_leaves_it_to_be_read(cluster: Cluster) -> None:
    cluster.submit("pod-dead", "sh", "-c", "echo here; exec sleep 600", pod={"activeDeadlineSeconds": 1})
    cluster.finished("pod-dead")
    [pod] = cluster.pods_of("pod-dead")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert cluster.log(pod["metadata"]["name"]).content == b"here\n"


def test_a_node_that_is_full_lets_pods_wait(image: Path) -> None:
    with KubernetesDouble(max_running=1, image_paths={"/opt/flink": image}) as double:
        cluster = Cluster(double)
        cluster.submit("first", "sleep", "600")
        cluster.running("first")
        cluster.submit("second", "true")
        waiting: Obj = cluster.pod_of("second")
        assert waiting["status"]["phase"] == "Pending"
        assert "conditions" not in waiting["status"]
        assert "nodeName" not in waiting["spec"]
        assert cluster.log(waiting["metadata"]["name"]).content == b"", "no node, so no log to ask for"
        cluster.delete(f"{cluster.jobs}/first", propagationPolicy="Background")
        cluster.finished("second")
        cluster.close()
