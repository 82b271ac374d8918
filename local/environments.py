"""Make the environments which the project needs: ``python3 -m local.environments env|flink|checkov|openapi``.

``env``
    ``.venv``: the pinned development requirements, and the project itself, editable.
``flink``
    ``.venv-flink``: Flink 1.20, PyFlink and a Java runtime; with ``FLINK=2`` in the environment
    ``.venv-flink2``: the same of the newest 2.x. Each with a Python that this Flink supports.
``checkov``
    ``.venv-checkov``: the reader of Terraform files, whose requirements fit to no others.
``openapi``
    ``.venv-openapi``: the generator of HTTP clients, whose requirements do not fit either.

An environment is whole when its marker file holds the fingerprint of everything it was made from; anything
else is made anew, from nothing. Two calls at the same time do the work once. A call that has nothing to do
says nothing and takes a moment.

This runs before anything is installed: standard library only, and a syntax that an old Python can read,
so that it prints that it is too old.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
ENVIRONMENT_REQUIREMENTS = ROOT / "requirements" / "dev.txt"
CHECKOV_ENVIRONMENT = ROOT / ".venv-checkov"
CHECKOV_REQUIREMENTS = ROOT / "requirements" / "checkov.txt"
OPENAPI_ENVIRONMENT = ROOT / ".venv-openapi"
OPENAPI_REQUIREMENTS = ROOT / "requirements" / "openapi.txt"
OLDEST_PYTHON = (3, 11)
MARKER = "complete"
SHOWN_LINES = 20
PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
"""Prints the version of a Python that can make environments; Debian splits ensurepip off, so it is asked."""


class PrepareError(Exception):
    """What is missing, and what to do about it, in one line; more lines hold an installer's last words."""


class FlinkLine:
    """A line of Flink that the local stack can run, in an environment of its own."""

    def __init__(
        self, name: str, environment: str, requirements: str, pythons: Sequence[tuple[int, int]]
    ) -> None:
        """Describe a line.

        Args:
            name: for messages.
            environment: its directory's name.
            requirements: its pinned requirements' name, in ``local/flink``.
            pythons: versions which its apache-flink supports (its package metadata), the best one first.
        """
        self.name = name
        self.environment = ROOT / environment
        self.requirements = ROOT / "local" / "flink" / requirements
        self.pythons = pythons


FLINK_LINES = {
    "1": FlinkLine("Flink 1.20", ".venv-flink", "requirements.txt", ((3, 11), (3, 10), (3, 9))),
    "2": FlinkLine("Flink 2", ".venv-flink2", "requirements-2.txt", ((3, 11), (3, 12), (3, 10), (3, 9))),
}
"""By the value of ``FLINK``, as in ``make demo FLINK=2``."""


def flink_line() -> FlinkLine:
    """The line that ``FLINK`` names in the environment: 1.20 where it names none.

    Raises:
        PrepareError: there is no such line.
    """
    named = os.environ.get("FLINK") or "1"
    if named not in FLINK_LINES:
        raise PrepareError(f"FLINK must be {' or '.join(FLINK_LINES)}, not {named}")
    return FLINK_LINES[named]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare what is named; 0 when it is whole, 1 with a message when that is impossible here."""
    parser = argparse.ArgumentParser(prog="python3 -m local.environments", description="Make an environment.")
    environments: dict[str, Callable[[], None]] = {
        "env": prepare_environment,
        "flink": prepare_flink,
        "checkov": lambda: prepare_tool(CHECKOV_ENVIRONMENT, CHECKOV_REQUIREMENTS),
        "openapi": lambda: prepare_tool(OPENAPI_ENVIRONMENT, OPENAPI_REQUIREMENTS),
    }
    parser.add_argument(
        "environment", choices=environments, help=".venv, .venv-flink, .venv-checkov, .venv-openapi"
    )
    options = parser.parse_args(arguments)
    try:
        environments[options.environment]()
    except PrepareError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def prepare_environment() -> None:
    """Make ``.venv``: the development requirements, then this project, editable and without dependencies."""
    if sys.version_info < OLDEST_PYTHON:
        raise PrepareError(
            f"Python 3.11 or newer is needed, and {sys.executable} is {version_of(sys.version_info)}: "
            "install one, or name it, as in: make PYTHON=python3.12"
        )

    def install_project(environment: Path) -> None:
        pip(environment, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)])

    make(
        ENVIRONMENT,
        requirements=ENVIRONMENT_REQUIREMENTS,
        also=[ROOT / "pyproject.toml"],
        find_python=lambda: usable_python(interpreter()),
        finish=install_project,
    )


def prepare_flink() -> None:
    """Make ``.venv-flink``, or that of the line which ``FLINK`` names: Flink, PyFlink and Java."""
    line = flink_line()
    make(
        line.environment,
        requirements=line.requirements,
        also=[],
        find_python=lambda: find_flink_python(line),
    )


def prepare_tool(environment: Path, requirements: Path) -> None:
    """Make the environment of a tool alone."""
    make(
        environment,
        requirements=requirements,
        also=[],
        find_python=lambda: usable_python(interpreter()),
    )


def is_whole(environment: Path, fingerprint: str) -> bool:
    """Whether an environment was completed from exactly these files, at this place, and can still start."""
    try:
        return (environment / MARKER).read_text() == fingerprint and (environment / "bin/python").exists()
    except OSError:
        return False


def make(
    environment: Path,
    *,
    requirements: Path,
    also: Sequence[Path],
    find_python: Callable[[], Path],
    finish: Callable[[Path], None] = lambda _: None,
) -> None:
    """Make an environment unless it is whole.

    Args:
        environment: the directory; whatever is there is replaced.
        requirements: pinned, with hashes; also the file that two calls lock each other out by.
        also: other files which the environment depends on.
        find_python: called only when the environment has to be made.
        finish: the last step, after the requirements.

    Raises:
        PrepareError: a Python or a package is missing.
    """
    if is_whole(environment, fingerprint_of(environment, [requirements, *also])):
        return
    with locked(requirements):
        fingerprint = fingerprint_of(environment, [requirements, *also])
        if is_whole(environment, fingerprint):  # the call that held the lock did it
            return
        python = find_python()
        started = time.monotonic()
        print(f"{environment.name}: made once, with {python}", flush=True)
        with contextlib.suppress(FileNotFoundError):
            (environment / MARKER).unlink()
            shutil.rmtree(environment)
        shutil.rmtree(environment, ignore_errors=True)
        run([str(python), "-m", "venv", str(environment)], what=f"{environment.name} could not be made")
        pip(environment, ["--require-hashes", "--requirement", str(requirements)])
        finish(environment)
        partial = environment / f"{MARKER}.partial"
        partial.write_text(fingerprint)
        partial.replace(environment / MARKER)
        print(f"{environment.name}: complete after {time.monotonic() - started:.0f} s", flush=True)


def fingerprint_of(environment: Path, files: Sequence[Path]) -> str:
    """A hash over the place (its scripts hold absolute paths) and the content of the files."""
    digest = hashlib.sha256(str(environment).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an advisory lock on an existing file.

    The installers that are started inherit it: if this process is killed, it holds until they have ended too.
    """
    with file.open("rb") as handle:
        os.set_inheritable(handle.fileno(), True)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"waiting for another process that works from {file.name}", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def pip(environment: Path, arguments: Sequence[str]) -> None:
    """Install, with one short line of progress at a time.

    Nothing is compiled in advance: it takes half of the time, and most of it is never imported.
    """
    command = [str(environment / "bin/python"), "-m", "pip", "install", "--no-input", "--no-compile"]
    command += ["--progress-bar=off", "--disable-pip-version-check", "--no-warn-script-location", *arguments]
    run(command, what=f"{environment.name} could not be completed", progress=Progress(environment.name))


class Progress:
    """What pip is doing: one line that rewrites itself on a terminal, a line every few seconds elsewhere."""

    LINE_SECONDS = 10.0

    def __init__(self, name: str) -> None:
        self._name = name
        self._started = self._printed = time.monotonic()
        self._packages = 0
        self._doing = "fetching"
        self._terminal = sys.stdout.isatty()

    def see(self, line: str) -> None:
        """Update the progress by one line of pip's output."""
        if line.startswith(("Collecting ", "Processing ")):  # from an index, from a folder of wheels
            self._packages += 1
        elif line.startswith("Installing collected packages"):
            self._doing = "installing"
        now = time.monotonic()
        if self._terminal or now - self._printed >= self.LINE_SECONDS:
            self._printed = now
            text = f"{self._name}: {self._doing}, {self._packages} packages, {now - self._started:.0f} s"
            print(
                f"\r\x1b[K{text}" if self._terminal else text, end="" if self._terminal else "\n", flush=True
            )

    def done(self) -> None:
        """Make room for the next message."""
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)


def run(command: Sequence[str], *, what: str, progress: Progress | None = None) -> None:
    """Run an installer. What it says is shown only when it fails.

    Raises:
        PrepareError: it exited with another status than 0; with its last lines.
    """
    lines: list[str] = []
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,  # see locked()
    )
    try:
        assert process.stdout is not None  # noqa: S101 it was opened as a pipe
        for line in process.stdout:
            lines.append(line.rstrip())
            if progress:
                progress.see(line)
    except BaseException:
        process.terminate()
        raise
    finally:
        code = process.wait()
        if progress:
            progress.done()
    if code:
        raise PrepareError("\n    ".join([f"{what}; its installer's last words:", *lines[-SHOWN_LINES:]]))


def interpreter() -> Path:
    """The Python that runs this, outside of the environment that this may run in."""
    return Path(getattr(sys, "_base_executable", sys.executable))


def usable_python(python: Path) -> Path:
    """The Python itself, if it can make environments.

    Raises:
        PrepareError: it cannot.
    """
    if probe(python) is None:
        raise PrepareError(
            f"{python} cannot make environments, its venv or ensurepip module is missing: "
            f"on Debian and Ubuntu run: apt-get install python{version_of(sys.version_info)}-venv"
        )
    return python


def probe(python: Path) -> tuple[int, int] | None:
    """The version of a Python which starts and can make environments; None for any other."""
    try:
        answer = subprocess.run(
            [str(python), "-I", "-c", PROBE], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    major, minor = answer.stdout.split(".")
    return int(major), int(minor)


def find_flink_python(line: FlinkLine) -> Path:
    """A Python for Flink: the running one, one on PATH, one of pyenv's, or one that uv downloads.

    Raises:
        PrepareError: none of these.
    """
    for candidate in flink_pythons(line):
        if probe(candidate) in line.pythons:
            return candidate
    uv, best = ENVIRONMENT / "bin" / "uv", version_of(line.pythons[0])
    names = ", ".join(version_of(version) for version in line.pythons)
    if uv.exists():
        print(f"none of Python {names} on this machine: uv downloads {best}", flush=True)
        with contextlib.suppress(PrepareError):
            run([str(uv), "python", "install", "--quiet", best], what="uv")
            found = subprocess.run(
                [str(uv), "python", "find", best], capture_output=True, text=True, check=False
            )
            python = Path(found.stdout.strip())
            if probe(python) in line.pythons:
                return python
    raise PrepareError(
        f"{line.name} needs one of Python {names} with its venv module, and none is on this machine: "
        "install one, or set FLINK_REST_URL to use a Flink of your own"
    )


def flink_pythons(line: FlinkLine) -> Iterator[Path]:
    """Yield paths that may hold a Python for Flink, the preferred one first."""
    yield interpreter()
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in line.pythons:
        name = version_of(version)
        on_path = shutil.which(f"python{name}")
        if on_path:
            yield Path(on_path)
        for directory in sorted(versions.glob(f"{name}.*"), reverse=True):
            yield directory / "bin" / "python"


def version_of(version: Sequence[object]) -> str:
    """As ``3.11``."""
    return f"{version[0]}.{version[1]}"


if __name__ == "__main__":
    sys.exit(main())
