"""The pinned requirements: compiled from `pyproject.toml`, with hashes, for every platform.

    python -m deploy.lock            compile all files again; what is pinned stays where it still fits
    python -m deploy.lock --check    compile in a temporary directory, and fail where a pin differs

The check compares names, versions and markers, not hashes: a release may get another file after it was pinned
(a wheel for a new Python), which makes nothing of what is pinned wrong.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).parent / "uv"
FUNCTIONS = ("submit", "sync", "cleanup", "jobs")
OPTIONS = ("--quiet", "--universal", "--generate-hashes", "--no-annotate", "--no-header")
HASH = re.compile(r"\s*\\?\n\s+--hash=\S+")


@dataclass(frozen=True, slots=True)
class Locked:
    """One file of pinned requirements.

    Attributes:
        output: where it lies, from the project's root.
        inputs: what it is compiled from, and which extras of it.
        python: the oldest Python that it is for.
    """

    output: str
    inputs: tuple[str, ...]
    python: str = "3.11"


LOCKED = (
    Locked("requirements/dev.txt", ("--extra", "dev", "pyproject.toml", "requirements/build.in")),
    *(
        Locked(f"functions/{name}/requirements.txt", ("--extra", name, "--extra", "gke", "pyproject.toml"))
        for name in FUNCTIONS
    ),
    Locked("requirements/checkov.txt", ("requirements/checkov.in",)),
    Locked("requirements/openapi.txt", ("requirements/openapi.in",)),
    Locked("local/flink/requirements.txt", ("local/flink/requirements.in",), python="3.9"),
    Locked("local/flink/requirements-2.txt", ("local/flink/requirements-2.in",), python="3.9"),
)


def compile_into(locked: Locked, output: Path) -> None:
    """Compiles one file; the pins that `output` holds already are kept where they fit.

    Raises:
        subprocess.CalledProcessError: a requirement cannot be met, or the index does not answer.
    """
    command = [str(UV), "pip", "compile", *OPTIONS, "--python-version", locked.python, *locked.inputs]
    subprocess.run([*command, "--output-file", str(output)], cwd=ROOT, check=True)


def pins(text: str) -> list[str]:
    """Each requirement of a compiled file with its version and marker, without its hashes."""
    return [line for line in HASH.sub("", text).splitlines() if line and not line.startswith("#")]


def drifted(locked: Locked) -> list[str]:
    """The pins of one file that are not those its inputs ask for now: `-` is there, `+` is asked for."""
    there = (ROOT / locked.output).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="flinkjobs-lock-") as directory:
        again = Path(directory) / "requirements.txt"
        again.write_text(there, encoding="utf-8")
        compile_into(locked, again)
        before, after = pins(there), pins(again.read_text(encoding="utf-8"))
    return [f"- {pin}" for pin in before if pin not in after] + [
        f"+ {pin}" for pin in after if pin not in before
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; returns 1 where a file has drifted."""
    parser = argparse.ArgumentParser(prog="python -m deploy.lock", description="The pinned requirements.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a pin has drifted")
    if not parser.parse_args(arguments).check:
        for locked in LOCKED:
            compile_into(locked, ROOT / locked.output)
        return 0
    faults = {locked.output: found for locked in LOCKED if (found := drifted(locked))}
    for output, found in faults.items():
        print(f"{output} has drifted: run `make lock`", *found, sep="\n  ")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
