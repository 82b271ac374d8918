"""Where the command's settings come from, who it says it is, and how errors end."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flinkjobs.cli.config import environment, profile_path
from flinkjobs.cli.exit_codes import MisuseError
from flinkjobs.domain.errors import SettingsError
from flinkjobs.settings.client import read_client_settings
from flinkjobs.settings.schedules import read_schedule_settings
from tests.integration.cli.conftest import COMMAND, Run, one_line, own_environment
from tests.support.scripted_server import Answer, Asked, ScriptedServer
from tests.support.waiting import until

PAGE: dict[str, Any] = {
    "jobs": [],
    "next_cursor": None,
    "counts": {"RUNNING": 0},
    "now": "2026-11-23T08:00:00.000Z",
}
PARENT = "projects/p/locations/l"


@contextmanager
def read_side(*answers: Answer) -> Iterator[ScriptedServer]:
    left = list(answers)

    def answer(_asked: Asked) -> Answer:
        return left.pop(0) if left else Answer(body=json.dumps(PAGE).encode())

    with ScriptedServer(answer) as server:
        yield server


# --- files ------------------------------------------------------------------------------------------


def test_a_profile_is_the_whole_configuration(run: Run, tmp_path: Path, nowhere: str) -> None:
    folder = tmp_path / ".config" / "flinkjobs"
    folder.mkdir(parents=True)
    with read_side() as server:
        (folder / "prod.env").write_text(f'JOBS_URL="{server.url}"\nFLINKJOBS_TOKEN=${{MY_TOKEN}}\n')
        environ = {"JOBS_URL": nowhere, "MY_TOKEN": "t-1", "FLINKJOBS_AUTH": "google"}
        assert run("--profile", "prod", "jobs", environ=environ).code == 0
        assert server.asked[0].headers["authorization"] == "Bearer t-1"
        assert run("jobs", environ={**environ, "FLINKJOBS_PROFILE": "prod"}).code == 0
    missing = run("--profile", "dev", "jobs")
    assert missing.code == 2
    assert one_line(missing.err).startswith(f"profile dev file {folder}/dev.env cannot be read")


def test_an_env_file_is_the_whole_configuration(tmp_path: Path) -> None:
    file = tmp_path / "own.env"
    file.write_text("export A='one two' # said\nB=\nC=\"x\\ny\"\n")
    found = environment({"A": "outer", "D": "outer"}, profile=None, env_file=file, directory=tmp_path)
    assert found == {"A": "one two", "B": "", "C": "x\ny"}


def test_dot_env_fills_in_what_the_environment_does_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    found = environment({"A": "outer"}, profile=None, env_file=None, directory=tmp_path)
    assert found == {"A": "outer", "B": "file"}


@pytest.mark.parametrize(
    ("content", "message"), [(b"A=1\nnot a setting at all\n", "line 2"), (b"A=\xff\n", "not UTF-8")]
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(MisuseError, match=message):
        environment({}, profile=None, env_file=None, directory=tmp_path)


def test_a_profile_is_a_name_and_no_path() -> None:
    assert profile_path("prod", {"XDG_CONFIG_HOME": "/etc/xdg"}) == Path("/etc/xdg/flinkjobs/prod.env")
    for name in ("../prod", "/etc/passwd", "", ".hidden"):
        with pytest.raises(MisuseError, match="--profile"):
            profile_path(name, {})
    with pytest.raises(MisuseError, match="--env-file"):
        environment({}, profile="a", env_file=Path("b"), directory=Path())


# --- values -----------------------------------------------------------------------------------------


def test_the_settings_of_a_caller() -> None:
    least = read_client_settings({})
    assert (dict(least.urls), least.auth, least.token, least.webhook_secrets) == ({}, "none", None, ())
    settings = read_client_settings(
        {"JOBS_URL": "https://jobs.example/x/", "SYNC_URL": " ", "FLINKJOBS_TOKEN": "t"}
    )
    assert (dict(settings.urls), settings.auth) == ({"jobs": "https://jobs.example/x"}, "token")
    assert read_client_settings({"FLINKJOBS_AUTH": "google"}).auth == "google"
    assert "'t'" not in repr(settings)


@pytest.mark.parametrize(
    "environ",
    [
        {"SUBMIT_URL": "submit.example"},
        {"FLINKJOBS_TOKEN": "a b"},
        {"FLINKJOBS_AUTH": "magic"},
        {"WEBHOOK_SECRETS": "short"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_a_wrong_value_is_named(environ: Mapping[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"^{next(iter(environ))} "):
        read_client_settings(environ)


def test_a_token_is_required_where_it_is_asked_for() -> None:
    with pytest.raises(SettingsError, match=r"^FLINKJOBS_TOKEN is required"):
        read_client_settings({"FLINKJOBS_AUTH": "token"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCHEDULER_PARENT", "my-project"),
        ("SCHEDULER_ENDPOINT", "localhost"),
        ("SYNC_CRON", "*/3 * * *"),
        ("CLEANUP_CRON", "0 0 30 2 *"),
        ("SYNC_SCHEDULE", "a b"),
        ("SYNC_SCHEDULE", "flinkjobs-cleanup"),
        ("SCHEDULER_TIME_ZONE", "Middle Earth"),
        ("SCHEDULER_SERVICE_ACCOUNT", "not-an-address"),
        ("SYNC_ATTEMPT_DEADLINE_SECONDS", "5"),
        ("CLEANUP_ATTEMPT_DEADLINE_SECONDS", "1801"),
    ],
)
def test_a_wrong_setting_of_the_schedules_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} "):
        read_schedule_settings({"SCHEDULER_PARENT": PARENT, name: value})


# --- who it says it is ------------------------------------------------------------------------------


def test_googles_identity_token_is_for_the_function_that_is_called(run: Run) -> None:
    """From the metadata server, as on Google's own machines."""

    payload = base64.urlsafe_b64encode(json.dumps({"exp": 4_000_000_000}).encode()).decode().rstrip("=")
    token = f"e30.{payload}.c2lnbmVk"

    def metadata(asked: Asked) -> Answer:
        if "identity" in asked.path:
            headers = {"Metadata-Flavor": "Google", "Content-Type": "text/html"}
            return Answer(body=token.encode(), headers=headers)
        headers = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}
        return Answer(body=b'{"email": "a@b.example", "scopes": []}', headers=headers)

    with read_side() as server, ScriptedServer(metadata) as metadata_server:
        environ = {
            "JOBS_URL": server.url,
            "FLINKJOBS_AUTH": "google",
            "GCE_METADATA_HOST": metadata_server.url.removeprefix("http://"),
            "GCE_METADATA_IP": metadata_server.url.removeprefix("http://"),
        }
        ran = run("jobs", environ=environ)
        assert (ran.code, ran.err) == (0, "")
        assert server.asked[0].headers["authorization"] == f"Bearer {token}"
        [identity] = [path for path in metadata_server.paths if "identity" in path]
        assert f"audience={server.url.replace(':', '%3A').replace('/', '%2F')}" in identity


def test_a_token_never_travels_in_the_clear(run: Run) -> None:
    ran = run("jobs", environ={"JOBS_URL": "http://jobs.example", "FLINKJOBS_TOKEN": "secret-token"})
    assert ran.code == 2
    assert "https only" in one_line(ran.err)
    assert "secret-token" not in ran.err


def test_an_unauthorized_caller_reads_what_to_check(run: Run) -> None:
    answer = Answer(status=401, body=b"<html>no", headers={"Content-Type": "text/html"})
    with read_side(answer) as server:
        ran = run("jobs", environ={"JOBS_URL": server.url})
    assert (ran.code, ran.out) == (3, "")
    assert "FLINKJOBS_TOKEN" in one_line(ran.err)


# --- how errors end ---------------------------------------------------------------------------------


def test_an_unexpected_error_is_one_line_and_shows_its_stack_when_asked(tmp_path: Path) -> None:
    strange: dict[str, Any] = {**PAGE, "jobs": [{"job_id": "a_1"}]}
    environ = own_environment(tmp_path)

    def run_on(server: ScriptedServer, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**environ, "JOBS_URL": server.url}
        command = [*COMMAND, *arguments, "jobs"]
        return subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    answer = Answer(body=json.dumps(strange).encode())
    with read_side(answer, answer) as server:
        ran = run_on(server)
        assert ran.returncode == 70
        assert "--debug" in one_line(ran.stderr)
        debugged = run_on(server, "--debug")
    assert debugged.returncode == 70
    assert "Traceback (most recent call last)" in debugged.stderr


def test_a_signal_ends_it_in_one_line(tmp_path: Path) -> None:
    with read_side(Answer(delay_seconds=30)) as server:
        process = subprocess.Popen(
            [*COMMAND, "jobs"],
            env={**own_environment(tmp_path), "JOBS_URL": server.url},
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: server.asked, timeout_seconds=30, what="a request")
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert one_line(message) == "ended by SIGTERM"


def test_output_without_a_reader_is_no_error(tmp_path: Path) -> None:
    """The pipe is closed before anything is written to it."""
    with read_side() as server:
        process = subprocess.Popen(
            [*COMMAND, "jobs"],
            env={**own_environment(tmp_path), "JOBS_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        message = process.stderr.read()
        process.stderr.close()
        assert process.wait(60) == 141
    assert message == ""


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_there_for_the_usual_shells(tmp_path: Path, shell: str) -> None:
    shown = subprocess.run(
        [*COMMAND, "--show-completion", shell],
        env={**own_environment(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 0
    assert "_FLINKJOBS_COMPLETE" in shown.stdout


def test_words_are_completed(tmp_path: Path) -> None:
    completed = subprocess.run(
        COMMAND,
        env={
            **own_environment(tmp_path),
            "_FLINKJOBS_COMPLETE": "complete_bash",
            "COMP_WORDS": "flinkjobs sched",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert completed.stdout.split() == ["schedules"]
