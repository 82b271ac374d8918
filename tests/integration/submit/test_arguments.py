"""What a request asks for is what the process receives, byte for byte: through the whole chain, and Flink."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Scratch
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.adapters.kubernetes.client import KubernetesApi
from flinkjobs.domain.errors import BadRequestError
from flinkjobs.submit.manifest import job_manifest
from flinkjobs.submit.request import Limits, parse_submission
from flinkjobs.submit.submission import Target
from local.flink import FlinkImage
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.waiting import until

LIMITS = Limits(clusters=["default"])
NO_JOBMANAGER = "127.0.0.1:9"
"""A JobManager that is not there: nothing here is submitted to it."""
FLINK_SECONDS = 90.0

WRITE_ARGUMENTS = f"""\
#!{sys.executable} -IS
import json, os, sys
name = next(word for word in sys.argv if word.startswith("-Dpipeline.name="))
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
with open(path, "x") as file:
    json.dump([os.fsencode(word).hex() for word in sys.argv[1:]], file)
"""
"""Stands for `flink`: notes its arguments in a file called like the job. A second run of it would fail."""

PRINT_ARGUMENTS = """
import json, sys
import pyflink.datastream  # a script that is over at once counts for Flink as one that did not start
print("ARGUMENTS " + json.dumps(sys.argv[1:]))
"""
PRINT_CONFIGURATION = """
from pyflink.datastream import StreamExecutionEnvironment
environment = StreamExecutionEnvironment.get_execution_environment()
known = environment._j_stream_execution_environment.getConfiguration().toMap()
print("CONFIGURATION " + json.dumps({name: known[name] for name in known}))
"""


@dataclass(slots=True)
class Cluster:
    """Kubernetes, as far as the tests here need it: it runs a request and waits for the end."""

    world: KubernetesWorld
    api: KubernetesApi
    count: int = 0

    def run(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Sends the Job that follows from a request; returns the job id and the Job when it has ended."""
        submission = parse_submission({"template_id": "etl", **body}, LIMITS)
        self.count += 1
        job_id = f"etl_{self.count}"
        target = Target(
            namespace="lemo-dev",
            image="flink:1.20",
            flink_bin="/opt/flink/bin/flink",
            jobmanager=NO_JOBMANAGER,
            timeout_seconds=600,
        )
        job = self.api.create_job(job_manifest(submission, job_id, target))

        def ended() -> dict[str, Any] | None:
            found = self.world.get("jobs", job.name) or {}
            over = [one["type"] for one in found.get("status", {}).get("conditions", ())]
            return found if {"Complete", "Failed"} & set(over) else None

        return job_id, until(ended, timeout_seconds=FLINK_SECONDS, what=f"{job.name} has ended")

    def log(self, job: dict[str, Any]) -> str:
        """The log of an ended Job's pod."""
        pod = self.world.pod_of(job["metadata"]["name"])
        assert pod is not None
        log = self.api.pod_log(pod["metadata"]["name"], "submit")
        assert isinstance(log, str)
        return log


def cluster_of(double: KubernetesDouble) -> Cluster:
    api = kubernetes_client.connect(
        double.namespace, auth="kubeconfig", kubeconfig=str(double.kubeconfig), in_cluster=False
    )
    return Cluster(KubernetesWorld(double), api)


@dataclass(frozen=True, slots=True)
class Recorder:
    """A cluster whose `flink` writes down its arguments."""

    cluster: Cluster
    directory: Path

    def received(self, body: dict[str, Any]) -> list[bytes]:
        """What `flink` is started with for a request."""
        job_id, job = self.cluster.run(body)
        assert job["status"].get("succeeded") == 1, job["status"]
        file = self.directory / "bin" / f"-Dpipeline.name={job_id}"
        return [bytes.fromhex(word) for word in json.loads(file.read_text())]


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Scratch("flinkjobs-arguments") as scratch:
        program = scratch.path / "bin" / "flink"
        program.parent.mkdir()
        program.write_text(WRITE_ARGUMENTS)
        program.chmod(0o755)
        with KubernetesDouble(image_paths={"/opt/flink": scratch.path}) as double:
            cluster = cluster_of(double)
            with cluster.world:
                yield Recorder(cluster, scratch.path)


def pointers(body: dict[str, Any]) -> list[str]:
    """The faulty fields of a request; none where it is accepted."""
    try:
        parse_submission(body, LIMITS)
    except BadRequestError as error:
        return [fault.pointer for fault in error.faults]
    return []


NASTY = [
    *("", " ", "--", "-", "-- -", "-d", "-h", "--help", "-py", "-py=x", "--pyFiles", "-D", "-Dx=y", "@file"),
    *("$(HOME)", "$$(HOME)", "$$", "$$$", "$", "${HOME}", "$HOME", "`id`", "$(id)", "$中", "$$é", "a$"),
    *(
        "'",
        '"',
        "''",
        '""',
        '"quoted"',
        "'quoted'",
        'in"side',
        "it's",
        "\\",
        "\\n",
        "a\\",
        "; exit 1",
        "&",
        "|",
    ),
    *(
        "two words",
        " led",
        "trailed ",
        "\n",
        "a\nb",
        "\r\n",
        "\t",
        "\x01",
        "\x1b[31m",
        "\x7f",
        "*",
        "~",
        "!!",
    ),
    *(
        "é",
        "中文",
        "😀",
        "e\u0301",
        "\u200f",
        "\ufeff",
        "\uffff",
        "\U0010ffff",
        "%s",
        "#",
        "{}",
        "[a]",
        "=",
        "a=b",
    ),
]
ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from(NASTY),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.text(st.sampled_from("$()-=\"'\\ \na中"), max_size=12),
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(ARGUMENTS)
@example(NASTY)
@example(["x" * 8192, "中" * 8192])
@example(["\x00"])
def test_the_process_receives_exactly_the_arguments_of_the_request(
    recorder: Recorder, arguments: list[str]
) -> None:
    """A request is refused for a NUL, which no process can receive, and for nothing else."""
    body = {"script": {"path": "/jobs/etl.py"}, "args": arguments}
    with_nul = [f"/args/{index}" for index, argument in enumerate(arguments) if "\x00" in argument]
    assert pointers({"template_id": "etl", **body}) == with_nul
    if with_nul:
        return
    received = recorder.received(body)
    script = received.index(b"/jobs/etl.py")
    behind = [b"--", b"--", *(argument.encode() for argument in arguments)] if arguments else []
    assert received[script + 1 :] == behind


LINES = st.one_of(
    st.sampled_from([text for text in NASTY if text.isprintable() and text]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.from_regex(r"[a-z][a-z.-]{0,20}", fullmatch=True).map("t.".__add__), LINES), LINES)
def test_the_process_receives_options_and_paths_as_they_are_or_they_are_refused(
    recorder: Recorder, conf: dict[str, str], path: str
) -> None:
    """A path is one argument of its own, so it may look neither like an option nor like several paths."""
    body: dict[str, Any] = {"script": {"path": "/jobs/etl.py"}, "flink_conf": conf}
    fields = {"savepoint_path": path, "jars": [path], "py_files": [path, "/b.py"]}
    if refused := pointers({"template_id": "etl", **body, **fields}):
        assert set(refused) <= {"/savepoint_path", "/jars/0", "/py_files/0"}
        assert path.startswith(("-", '"')) or "," in path or ".." in path
        fields = {}
    received = recorder.received({**body, **fields})
    begin = next(at for at, word in enumerate(received) if word.startswith(b"-Dpipeline.name=")) + 1
    expected = [f"-D{name}={value}" for name, value in sorted(conf.items())]
    if fields:
        expected += ["-s", path, "-j", path, "-pyfs", f"{path},/b.py"]
    assert received[begin:] == [word.encode() for word in [*expected, "-py", "/jobs/etl.py"]]


# --- the real `flink run` ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flink_client() -> Iterator[tuple[Cluster, Path]]:
    """A cluster with the real `flink`, in an image whose own locale knows no character beyond ASCII."""
    with Scratch("flinkjobs-client") as scratch:
        image = FlinkImage(scratch.path)
        environment = {**image.env(image.configure("client", {})), "LC_ALL": "C"}
        with KubernetesDouble(image_paths=image.paths(), image_environment=environment) as double:
            cluster = cluster_of(double)
            with cluster.world:
                yield cluster, scratch.path


def printed(log: str, word: str) -> Any:
    found = [line for line in log.splitlines() if line.startswith(f"{word} ")]
    assert len(found) == 1, log
    return json.loads(found[0].removeprefix(f"{word} "))


@pytest.mark.parametrize(
    "first", ["--", "-py", "--pyModule=x", "-h", "", "-- -"], ids=lambda first: f"first {first!r}"
)
def test_a_real_script_receives_every_argument_whatever_the_first_one_looks_like(
    flink_client: tuple[Cluster, Path], first: str
) -> None:
    """`flink run` parses its command line twice, and both times stops at the first word it does not know."""
    cluster, directory = flink_client
    script = directory / "arguments.py"
    script.write_text(PRINT_ARGUMENTS)
    arguments = [first, *NASTY]
    _, job = cluster.run({"script": {"path": str(script)}, "args": arguments})
    log = cluster.log(job)
    assert printed(log, "ARGUMENTS") == arguments
    assert job["status"].get("succeeded") == 1, log


CONFIGURATION = {
    f"t.{index}": value
    for index, value in enumerate(
        text for text in NASTY if text and min(text) > "\x1f" and "\x7f" not in text
    )
}


def test_real_flink_takes_options_paths_and_the_name_as_they_are(
    flink_client: tuple[Cluster, Path],
) -> None:
    cluster, directory = flink_client
    script, jar = directory / "conf.py", directory / "a jar'é.jar"
    script.write_text(PRINT_ARGUMENTS + PRINT_CONFIGURATION)
    [library] = (FlinkImage(directory).home / "lib").glob("flink-json-*.jar")
    jar.symlink_to(library)
    savepoint, module = 's3://bucket/a "b" é %20', directory / "mod ule'é.py"
    module.write_text("")
    job_id, job = cluster.run(
        {
            "job_name": "$(id) '\"",
            "script": {"path": str(script)},
            "flink_conf": CONFIGURATION,
            "savepoint_path": savepoint,
            "allow_non_restored_state": True,
            "jars": [str(jar)],
            "py_files": [str(module), str(script)],
            "parallelism": 3,
        }
    )
    log = cluster.log(job)
    assert job["status"].get("succeeded") == 1, log
    known = printed(log, "CONFIGURATION")
    assert {name: value for name, value in known.items() if name.startswith("t.")} == CONFIGURATION
    assert known["execution.state-recovery.path"] == savepoint
    assert known["execution.state-recovery.ignore-unclaimed-state"] == "true"
    assert known["python.files"] == f"{module},{script}"
    assert known["parallelism.default"] == "3"
    assert known["pipeline.name"] == job_id
    assert unquote(yaml.safe_load(known["pipeline.jars"])[0]) == f"file:{jar}"
    assert printed(log, "ARGUMENTS") == []


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("savepoint_path", '"s3://bucket/x"', "/savepoint_path"),
        ("jars", ['"/a.jar"'], "/jars/0"),
        ("jars", ["/a.jar", "/b.jar"], "/jars"),
        ("py_files", ['"/a.py', '/b.py"'], "/py_files/0"),
    ],
)
def test_what_flink_would_change_silently_is_refused(field: str, value: Any, pointer: str) -> None:
    """It takes quotes around an option's value off, and of several jars it takes the first."""
    body = {"template_id": "etl", "script": {"path": "/jobs/etl.py"}, field: value}
    assert pointers(body) == [pointer]
