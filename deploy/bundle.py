"""Stages each function in a folder of its own: `main.py`, its requirements and the package `flinkjobs`.

    python -m deploy.bundle [--output build]

Every bundle holds the whole package; which libraries a function needs is in its `requirements.txt`. The same
source gives the same bytes, names, modes and times, and the same printed hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lock import FUNCTIONS, ROOT

PACKAGE = ROOT / "shared" / "flinkjobs"
FILE_TIMESTAMP = 315_532_800
"""1980-01-01, the first day that a zip archive can hold, in seconds since 1970."""
FILE_MODE, FOLDER_MODE = 0o644, 0o755


class BundleError(Exception):
    """A bundle cannot be made; the message is one line with the reason."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One staged function.

    Attributes:
        name: of the function.
        folder: the staged files.
        files: paths below the folder, sorted.
        size: of all files together, in bytes.
        sha256: over the path and the content of every file.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    size: int
    sha256: str


def files_of(name: str) -> dict[str, Path]:
    """The files of a function's bundle: each path in it, and the file that is copied there."""
    source = ROOT / "functions" / name
    files = {path: source / path for path in ("main.py", "requirements.txt")}
    for file in PACKAGE.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            files[file.relative_to(PACKAGE.parent).as_posix()] = file
    return dict(sorted(files.items()))


def stage(name: str, output: Path) -> Bundle:
    """Replaces the folder of one function.

    Raises:
        BundleError: a folder of that name exists and is not a bundle.
    """
    folder = output / name
    if folder.exists() and not (folder / "main.py").is_file():
        raise BundleError(f"{folder} exists and is not a bundle: move it away, or choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    size, digest = 0, hashlib.sha256()
    files = files_of(name)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=output) as scratch:
        new = Path(scratch) / name
        for path, source in files.items():
            content = source.read_bytes()
            size += len(content)
            digest.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
            copy = new / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        _normalize(new)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    return Bundle(name, folder, tuple(files), size, digest.hexdigest())


def _normalize(folder: Path) -> None:
    """Gives all files and folders the same modes and times on every machine."""
    for path in sorted([folder, *folder.rglob("*")], reverse=True):  # a folder after what is in it
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.utime(path, (FILE_TIMESTAMP, FILE_TIMESTAMP))


def main(arguments: Sequence[str] | None = None) -> int:
    """Stages every function and prints one line for each."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bundle",
        description="Stage each function with the package and its requirements.",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="default: build")
    output = parser.parse_args(arguments).output
    try:
        bundles = [stage(name, output) for name in FUNCTIONS]
    except BundleError as error:
        print(f"deploy.bundle: {error}", file=sys.stderr)
        return 1
    for bundle in bundles:
        size = f"{bundle.size / 1024:.1f} KiB"
        print(f"{bundle.name:<8} {len(bundle.files):>3} files {size:>11}  sha256 {bundle.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
