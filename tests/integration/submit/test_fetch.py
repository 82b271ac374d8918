"""The program that fetches a script: what it follows, what it refuses, and what becomes of a refusal."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from doubles.kubernetes.process import KubernetesDouble
from doubles.processes import Scratch
from flinkjobs.submit import script_download
from flinkjobs.submit.script_download import MAX_BYTES, MAX_REDIRECTS, Refused
from local.functions import FunctionServer
from tests.integration.submit.conftest import DATABASE, Traces, post, synchronise
from tests.support.kubernetes_world import KubernetesWorld
from tests.support.tls_server import Page, TlsServer

HOST, OTHER = "scripts.example.org", "mirror.example.org"
PUBLIC = "93.184.215.14"
SCRIPT = "print('作业')\n".encode()
PROCESS_SECONDS = 30


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """What a server sends: a response with a Content-Length, unless another one is given."""
    sent = {"Content-Length": str(len(body)), **{name.replace("_", "-"): headers[name] for name in headers}}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in sent.items() if value), "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(slots=True)
class _Socket:
    """A connection on which an answer is waiting."""

    answer: bytes
    sent: bytes = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, *_args: object) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.answer))

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Internet:
    """Names, addresses and pages; notes who was connected to.

    Attributes:
        addresses: of each name.
        pages: answers by host and path.
    """

    pages: Mapping[str, bytes]
    addresses: Mapping[str, list[str]] = field(default_factory=lambda: {HOST: [PUBLIC], OTHER: [PUBLIC]})
    connected: list[tuple[str, str, int]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    sockets: list[_Socket] = field(default_factory=list)

    def resolve(self, host: str, port: int, **_kind: object) -> list[Any]:
        """As `socket.getaddrinfo`."""
        self.resolved.append(host)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        family = socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses[host]]

    def connect(self, host: str, address: str, port: int) -> http.client.HTTPConnection:
        """A connection whose answer follows from what is asked for."""
        self.connected.append((host, address, port))
        internet = self

        class Connection(http.client.HTTPConnection):
            def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
                assert method == "GET"
                page = internet.pages.get(f"{host}{url}", answer(404))
                self.sock: Any = _Socket(page)
                internet.sockets.append(self.sock)
                super().putrequest(method, url, *args, **kwargs)

        return Connection(host, port)

    def fetch(self, url: str, *hosts: str) -> bytes:
        """Runs the program's heart in this internet."""
        allowed = list(hosts or (HOST, OTHER))
        return script_download.fetch(url, allowed, "flinkjobs/1", self.resolve, self.connect)


def redirect(location: str, status: int = 302) -> bytes:
    return answer(status, Location=location)


# --- the way --------------------------------------------------------------------------------------


def test_a_script_is_fetched_from_the_address_that_was_checked() -> None:
    internet = Internet({f"{HOST}/etl.py?version=2": answer(200, SCRIPT)})
    assert internet.fetch(f"https://{HOST}/etl.py?version=2#top") == SCRIPT
    assert internet.connected == [(HOST, PUBLIC, 443)]
    assert internet.resolved == [HOST]
    assert b"\r\nUser-Agent: flinkjobs/1\r\n" in internet.sockets[0].sent


@pytest.mark.parametrize("url", [f"https://{HOST}", f"https://{HOST}:443/", f"https://{HOST.upper()}/"])
def test_the_same_place_written_otherwise(url: str) -> None:
    assert Internet({f"{HOST}/": answer(200, SCRIPT)}).fetch(url) == SCRIPT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/new.py", "new.py", f"//{OTHER}/new.py", f"https://{OTHER}/new.py"])
def test_a_redirect_is_followed_to_allowed_hosts(status: int, location: str) -> None:
    pages = {
        f"{HOST}/old.py": redirect(location, status),
        f"{HOST}/new.py": answer(200, SCRIPT),
        f"{OTHER}/new.py": answer(200, SCRIPT),
    }
    internet = Internet(pages)
    assert internet.fetch(f"https://{HOST}/old.py") == SCRIPT
    assert internet.resolved == [HOST, OTHER if OTHER in location else HOST]


REFUSED_REDIRECTS = {
    "to a host that is not allowed": ("https://evil.example.org/x.py", "evil.example.org is not an allowed"),
    "to http": (f"http://{HOST}/x.py", "not https"),
    "to another port": (f"https://{HOST}:8443/x.py", "usual port"),
    "to an address": ("https://169.254.169.254/latest", "169.254.169.254 is not an allowed host"),
    "to a file": ("file:///etc/passwd", "not https"),
    "with a user": (f"https://user:secret@{HOST}/x.py?token=hidden", "without a user"),
    "to a host hidden behind a user": (f"https://{HOST}@evil.example.org/", "without a user"),
    "to a host that only begins alike": (f"https://{HOST}.evil.example.org/", "is not an allowed host"),
}


@pytest.mark.parametrize(("location", "why"), REFUSED_REDIRECTS.values(), ids=REFUSED_REDIRECTS)
def test_a_redirect_is_not_followed_anywhere_else(location: str, why: str) -> None:
    internet = Internet({f"{HOST}/old.py": redirect(location)})
    with pytest.raises(Refused, match=why) as refused:
        internet.fetch(f"https://{HOST}/old.py")
    assert internet.connected == [(HOST, PUBLIC, 443)]
    assert not any(secret in str(refused.value) for secret in ("secret", "hidden"))


def test_a_loop_of_redirects_ends() -> None:
    internet = Internet(
        {f"{HOST}/a": redirect(f"https://{OTHER}/b"), f"{OTHER}/b": redirect(f"https://{HOST}/a")}
    )
    with pytest.raises(Refused, match=f"more than {MAX_REDIRECTS} redirects"):
        internet.fetch(f"https://{HOST}/a")
    assert len(internet.connected) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("broken", [f"https://{HOST}:port/", "https://[::1/"])
def test_a_redirect_to_no_url_is_an_error_that_names_the_fault(broken: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)port|IPv6"):
        Internet({f"{HOST}/": redirect(broken)}).fetch(f"https://{HOST}/")


# --- the address ------------------------------------------------------------------------------------

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *(
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ),
    *(
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff0e::1",
        "2001:db8::1",
    ),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a00:1::", "2002:7f00:1::1"),
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo for 10.0.0.1
]


@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize(
    "among", [[], [PUBLIC], [PUBLIC, "2606:2800:21f::1"]], ids=["alone", "second", "third"]
)
def test_a_name_with_a_private_address_is_not_connected_to(private: str, among: list[str]) -> None:
    """Not even if it has public ones, and comes first in the list."""
    internet = Internet({}, {HOST: [*among, private]})
    with pytest.raises(Refused, match="not public"):
        internet.fetch(f"https://{HOST}/etl.py")
    assert internet.connected == []


@pytest.mark.parametrize("public", [PUBLIC, "2606:2800:21f::1", "2002:5db8:d70e::1", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_connected_to(public: str) -> None:
    internet = Internet({f"{HOST}/": answer(200, SCRIPT)}, {HOST: [public]})
    assert internet.fetch(f"https://{HOST}/") == SCRIPT
    assert internet.connected == [(HOST, public, 443)]


def test_a_name_that_becomes_private_on_the_way_is_refused() -> None:
    pages = {f"{HOST}/old.py": redirect(f"https://{OTHER}/new.py")}
    internet = Internet(pages, {HOST: [PUBLIC], OTHER: ["10.1.2.3"]})
    with pytest.raises(Refused, match=f"{OTHER} has the address 10.1.2.3"):
        internet.fetch(f"https://{HOST}/old.py")
    assert internet.connected == [(HOST, PUBLIC, 443)]


def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(Refused, match="no address"):
        Internet({}, {HOST: []}).fetch(f"https://{HOST}/")
    with pytest.raises(socket.gaierror):
        Internet({}, {}).fetch(f"https://{HOST}/")


# --- the answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 301, 304, 401, 403, 404, 410, 429, 500, 503])
def test_any_other_status_is_refused(status: int) -> None:
    with pytest.raises(Refused, match=f"{HOST} answered {status}"):
        Internet({f"{HOST}/": answer(status, SCRIPT if status != 204 else b"")}).fetch(f"https://{HOST}/")


def test_the_size_is_limited() -> None:
    most = b"#" * MAX_BYTES
    assert Internet({f"{HOST}/": answer(200, most)}).fetch(f"https://{HOST}/") == most
    with pytest.raises(Refused, match=f"larger than {MAX_BYTES}"):
        Internet({f"{HOST}/": answer(200, most + b"#")}).fetch(f"https://{HOST}/")


@pytest.mark.parametrize(
    "cut_off",
    [
        answer(200, SCRIPT, Content_Length=str(len(SCRIPT) + 1)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nprint\r\n5\r\n(",
    ],
    ids=["by its length", "by its chunks"],
)
def test_a_script_that_was_cut_off_is_not_run(cut_off: bytes) -> None:
    with pytest.raises((Refused, http.client.IncompleteRead)):
        Internet({f"{HOST}/": cut_off}).fetch(f"https://{HOST}/")


def test_a_script_in_chunks_is_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nprint\r\n3\r\n(1)\r\n0\r\n\r\n"
    assert Internet({f"{HOST}/": chunked}).fetch(f"https://{HOST}/") == b"print(1)"


# --- the process ------------------------------------------------------------------------------------

DRIVER = """
import socket, ssl, sys
source, certificate, port, deadline, *arguments = sys.argv[1:]
program = {"__name__": "program"}
exec(compile(source, "fetch", "exec"), program)
program["DEADLINE_SECONDS"] = int(deadline)

def resolve(host, port_of_url, **kind):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port_of_url))]

real_connect = socket.create_connection
real_context = ssl.create_default_context
socket.create_connection = lambda address, timeout: real_connect(("127.0.0.1", int(port)), timeout)
ssl.create_default_context = lambda: real_context(cafile=certificate or None)
program["fetch"].__defaults__ = (resolve, program["connect"])
program["main"](arguments)
"""
"""Runs the program as it is sent, in an internet where every name is the test's own server."""


@dataclass(frozen=True, slots=True)
class Web:
    """The test's own server, and the program run against it."""

    server: TlsServer
    directory: Path

    def run(
        self, url: str, *, trusted: bool = True, deadline_seconds: int = 20
    ) -> tuple[subprocess.CompletedProcess[str], Path]:
        """Fetches a URL; returns how the process ended, and the file it was to write."""
        file = self.directory / "job.py"
        file.unlink(missing_ok=True)
        certificate = str(self.server.certificate) if trusted else ""
        command = [
            sys.executable,
            "-I",
            "-c",
            DRIVER,
            Path(script_download.__file__).read_text(),
            certificate,
        ]
        command += [str(self.server.port), str(deadline_seconds), url, str(file), "flinkjobs/1", HOST, OTHER]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_SECONDS, check=False)
        return ended, file


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    pages = {
        "/etl.py": Page(SCRIPT),
        "/old.py": Page(status=302, headers={"Location": "/etl.py"}),
        "/away.py": Page(status=302, headers={"Location": f"https://{OTHER}/etl.py"}),
        "/cut.py": Page(SCRIPT, length=len(SCRIPT) + 1),
        "/drip.py": Page(b"#" * 10_000, drip_seconds=0.05),
    }
    with Scratch("flinkjobs-fetch") as scratch, TlsServer(HOST, pages, scratch.path) as server:
        yield Web(server, scratch.path)


@pytest.mark.parametrize("path", ["/etl.py", "/old.py"])
def test_the_process_writes_the_script(path: str, web: Web) -> None:
    ended, file = web.run(f"https://{HOST}{path}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert file.read_bytes() == SCRIPT
    assert web.server.asked[-1] == (HOST, "/etl.py")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nowhere.py", f"{HOST} answered 404"),
        ("/cut.py", f"{HOST} sent {len(SCRIPT)} of {len(SCRIPT) + 1} bytes"),
        ("/away.py", "certificate"),
    ],
)
def test_the_process_says_in_one_line_why_it_writes_nothing(path: str, why: str, web: Web) -> None:
    """The server has no certificate for the other host."""
    ended, file = web.run(f"https://{HOST}{path}")
    assert ended.returncode == 1
    assert ended.stderr.startswith("the script could not be fetched: ")
    assert why in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not file.exists()


def test_a_certificate_of_an_unknown_authority_is_refused(web: Web) -> None:
    ended, file = web.run(f"https://{HOST}/etl.py", trusted=False)
    assert ended.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in ended.stderr
    assert not file.exists()


def test_an_answer_byte_by_byte_ends_with_the_deadline(web: Web) -> None:
    """Each byte comes in time; all of them would take minutes."""
    ended, file = web.run(f"https://{HOST}/drip.py", deadline_seconds=1)
    assert ended.returncode == 1
    assert "it did not arrive within 1 s" in ended.stderr
    assert not file.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_program_itself_refuses_this_machine(host: str, web: Web) -> None:
    """Nothing is injected here: it is run as the init container runs it."""
    file = web.directory / "local.py"
    asked = len(web.server.asked)
    source = Path(script_download.__file__).read_text()
    ended = subprocess.run(
        [sys.executable, "-c", source, f"https://{host}/etl.py", str(file), "flinkjobs/1", host],
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    assert "which is not public" in ended.stderr
    assert not file.exists()
    assert len(web.server.asked) == asked


def test_the_connection_is_encrypted_by_the_rules_of_today() -> None:
    """The program relies on the defaults of Python's `ssl`: this is what they are."""
    context = ssl.create_default_context()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# --- the pod ----------------------------------------------------------------------------------------


def test_a_script_that_cannot_be_fetched_fails_the_record_with_the_programs_own_words(
    settings: Mapping[str, str], traces: Traces, scratch_file: Callable[[str], Path]
) -> None:
    """The init container really runs, and finds that the allowed host is this machine."""
    flink = scratch_file("bin") / "flink"
    flink.parent.mkdir()
    flink.write_text("#!/bin/sh\necho started\n")
    flink.chmod(0o755)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    with KubernetesDouble(
        image_paths={"/opt/flink": flink.parents[1]}, image_environment={"PATH": path}
    ) as double:
        here = {
            **settings,
            "KUBECONFIG": str(double.kubeconfig),
            "ALLOWED_SCRIPT_HOSTS": "localhost",
            "MONGODB_DATABASE": DATABASE,
        }
        with (
            KubernetesWorld(double) as world,
            FunctionServer("submit", here) as submit,
            FunctionServer("sync", here) as sync,
        ):
            accepted = post(submit, {"template_id": "url", "script": {"url": "https://localhost/etl.py"}})
            assert accepted.status_code == 202, accepted.text
            world.wait_finished(accepted.json()["k8s_job_name"])
            synchronise(sync)
    record = traces.record()
    assert (record["status"], record["reason"]["code"]) == ("FAILED", "SUBMIT_FAILED")
    assert "the script could not be fetched: localhost has the address" in record["reason"]["message"]
    assert "which is not public" in record["reason"]["message"]
