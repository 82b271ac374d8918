"""The submitter's program, run by bash: its output, its exit code and its termination message."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from doubles.processes import Scratch
from flinkjobs.domain.submitter_log import MarkedMessage, marked_message
from flinkjobs.submit.manifest import SUBMITTER
from tests.support.waiting import until

ONE, TWO = "0123456789abcdef" * 2, "fedcba9876543210" * 2
LINE = "Job has been submitted with JobID "
PRINT_ONE = f"echo Starting; echo '{LINE}{ONE}'"


@dataclass(frozen=True, slots=True)
class Image:
    """A directory with the tools of an image, a `flink`, and the place of the termination message."""

    path: Path

    @property
    def message(self) -> Path:
        return self.path / "message"

    def command(self, script: str, *, limit: int = 0, message: Path | None = None) -> list[str]:
        """The container's command where `flink` is this bash script."""
        flink = self.path / "flink"
        flink.write_text(f"#!/bin/bash\n{script}\n")
        flink.chmod(0o755)
        return [
            *("/bin/bash", "-c", SUBMITTER, "flinkjobs-submit"),
            *(str(limit), str(message or self.message), str(flink), "run"),
        ]

    def run(
        self, script: str, *, limit: int = 0, message: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script, limit=limit, message=message),
            env={"PATH": str(self.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def image() -> Iterator[Image]:
    with Scratch("flinkjobs-submitter") as scratch:
        for tool in ("timeout", "sed"):
            found = shutil.which(tool)
            assert found is not None
            (scratch.path / tool).symlink_to(found)
        yield Image(scratch.path)


ENDS = {
    "one id": (PRINT_ONE, 0, (ONE,)),
    "two ids": (f"{PRINT_ONE}; echo '{LINE}{TWO}'", 0, (ONE, TWO)),
    "an id on standard error": (f"echo '{LINE}{ONE}' >&2", 0, (ONE,)),
    "an id, then an error": (f"{PRINT_ONE}; exit 31", 31, (ONE,)),
    "the same id twice": (f"{PRINT_ONE}; {PRINT_ONE}", 0, (ONE,)),
    "a carriage return after the id": (f"printf '{LINE}{ONE}\\r\\n'", 0, (ONE,)),
    "a last line without an end": (f"printf '{LINE}{ONE}'", 0, (ONE,)),
    "no id": ("echo Starting", 0, ()),
    "look-alikes": (f"echo 'say: {LINE}{ONE}'; echo '{LINE}{ONE}0'", 0, ()),
}


@pytest.mark.parametrize(("script", "code", "ids"), ENDS.values(), ids=ENDS)
def test_submitter_that_saw_an_id_or_no_error_marks_its_message_as_whole(
    script: str, code: int, ids: tuple[str, ...], image: Image
) -> None:
    ended = image.run(script)
    assert ended.returncode == code
    assert marked_message(image.message.read_text()) == MarkedMessage(ids=ids, is_whole=True)


def test_submitter_writes_the_message_in_the_agreed_form(image: Image) -> None:
    image.run(f"{PRINT_ONE}; echo '{LINE}{TWO}'")
    assert image.message.read_text() == f"flinkjobs/1\n{LINE}{ONE}\n{LINE}{TWO}\nend 2\n"


def test_submitter_without_an_id_whose_flink_failed_leaves_the_message_to_kubernetes(image: Image) -> None:
    """Kubernetes puts the end of the log into an empty message."""
    ended = image.run("echo 'Traceback'; exit 31")
    assert (ended.returncode, ended.stdout) == (31, "Traceback\n")
    assert image.message.read_text() == ""


def test_submitter_whose_flink_takes_too_long_ends_with_124_and_keeps_its_id(image: Image) -> None:
    ended = image.run(f"{PRINT_ONE}; /bin/sleep 20", limit=1)
    assert ended.returncode == 124
    assert marked_message(image.message.read_text()) == MarkedMessage(ids=(ONE,), is_whole=True)


def test_submitter_whose_sed_failed_does_not_mark_its_message(image: Image) -> None:
    """An id may be missing."""
    sed = image.path / "sed"
    sed.unlink()
    sed.write_text("#!/bin/bash\ncode=0\nwhile read -r line; do echo $line; code=4; done\nexit $code\n")
    sed.chmod(0o755)
    ended = image.run(PRINT_ONE)
    assert (ended.returncode, ended.stdout) == (0, f"Starting\n{LINE}{ONE}\n")
    assert image.message.read_text() == ""


@pytest.mark.parametrize("tool", ["timeout", "sed"])
def test_submitter_in_an_image_without_a_tool_names_it_and_does_not_run_flink(
    tool: str, image: Image
) -> None:
    (image.path / tool).unlink()
    ended = image.run(f"echo ran >{image.path}/ran")
    assert ended.returncode == 127
    assert ended.stdout == f"flinkjobs: the image lacks {tool}: flink was not run\n"
    assert not (image.path / "ran").exists()
    assert not image.message.exists()


@pytest.mark.parametrize(
    ("tool", "lacks"),
    [("timeout", "a timeout that has --kill-after"), ("sed", "a sed that has -u")],
)
def test_submitter_in_an_image_with_a_lesser_tool_names_the_option(
    tool: str, lacks: str, image: Image
) -> None:
    """As BusyBox may be built."""
    lesser = image.path / tool
    lesser.unlink()
    lesser.write_text(
        '#!/bin/bash\n[[ $1 == -[a-z] || $1 == --* ]] && { echo "usage" >&2; exit 1; }\nexit 0\n'
    )
    lesser.chmod(0o755)
    ended = image.run(f"echo ran >{image.path}/ran")
    assert (ended.returncode, ended.stdout) == (
        127,
        f"flinkjobs: the image lacks {lacks}: flink was not run\n",
    )
    assert not (image.path / "ran").exists()


def test_submitter_in_an_image_without_flink_names_its_path(image: Image) -> None:
    command = image.command("echo ran")
    (image.path / "flink").unlink()
    ended = subprocess.run(
        command, env={"PATH": str(image.path)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 127
    assert ended.stdout == f"flinkjobs: the image lacks {image.path}/flink: flink was not run\n"


def test_submitter_whose_message_cannot_be_written_prints_and_exits_as_flink_does(image: Image) -> None:
    ended = image.run(f"{PRINT_ONE}; exit 31", message=image.path / "absent" / "message")
    assert (ended.returncode, ended.stdout) == (31, f"Starting\n{LINE}{ONE}\n")


def test_submitter_passes_every_line_on_at_once_while_flink_still_runs(image: Image) -> None:
    """A pass before the end reads the id from the log; a pod that is killed leaves it in the message."""
    command = image.command(f"{PRINT_ONE}; read -r; exit 3")
    with subprocess.Popen(
        command, env={"PATH": str(image.path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert [running.stdout.readline() for _ in range(2)] == ["Starting\n", f"{LINE}{ONE}\n"]
        until(
            lambda: image.message.read_text() == f"{LINE}{ONE}\n",
            timeout_seconds=10,
            what="the id is in the message",
        )
        running.stdin.write("\n")
        running.stdin.close()
        assert running.wait(timeout=10) == 3
    assert marked_message(image.message.read_text()) == MarkedMessage(ids=(ONE,), is_whole=True)
