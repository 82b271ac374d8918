"""What the commands of actions print: golden transcripts, each a series of commands in one world.

A line that begins with `$ ` is a command; below it stand what it printed, its standard error after `! `, and
its exit code after `= `. What differs from run to run is replaced: ids of actions, times in new job ids.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.integration.cli.conftest import Run
from tests.integration.functions.conftest import World
from tests.integration.functions.test_sync import START, followed
from tests.support.flink_rest_server import Job
from tests.support.records import labelled

FOLDER: Final = Path(__file__).resolve().parents[2] / "data" / "cli" / "actions"
TRANSCRIPTS: Final = sorted(FOLDER.glob("*.txt"))
SPEC: Final = {"script": {"path": "/opt/a.py"}}
DIFFERENT: Final = (
    (re.compile(r"savepoint-[0-9a-f]{6}"), "savepoint-ACTION"),
    (re.compile(r"\betl_[0-9]{13}"), "etl_MILLISECONDS"),
    (re.compile(r"127\.0\.0\.1:[0-9]+"), "HOST:PORT"),
)


@pytest.fixture
def jobs_of_a_team(world: World) -> None:
    """Two jobs that run, of one team; one that has finished; one whose cluster refuses savepoints."""
    team = labelled({"team": "search"})
    for number in (1, 2):
        id_ = str(number) * 32
        world.add_record(f"runs_{number}", **followed(id_), **team)
        world.flink.jobs.append(Job(id=id_, state="RUNNING", start=START))
    world.add_record("etl_1", status="FINISHED", spec=SPEC, **labelled({"team": "etl"}))


def printed(command: str, run: Run, environ: Mapping[str, str]) -> str:
    """A command as its transcript has it."""
    ran = run(*shlex.split(command)[1:], environ=environ)
    lines = [*ran.out.splitlines(), *(f"! {line}" for line in ran.err.splitlines()), f"= {ran.code}"]
    text = "\n".join(lines)
    for pattern, name in DIFFERENT:
        text = pattern.sub(name, text)
    return f"$ {command}\n{text}\n"


@pytest.mark.usefixtures("jobs_of_a_team")
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_the_commands_print_their_transcript(run: Run, urls: Mapping[str, str], path: Path) -> None:
    golden = path.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (.+)$", golden, re.MULTILINE)
    assert "\n".join(printed(command, run, urls) for command in commands) == golden


def test_every_command_has_a_transcript() -> None:
    assert [path.stem for path in TRANSCRIPTS] == ["cancel", "run-again", "savepoint", "stop"]
