"""Makes the files of a release: function bundles, wheel, image recipe and notes.

    python -m deploy.release [--tag v0.2.0] [--output build/release]

The image recipe is the Dockerfile with the files that it copies: `docker build` runs on the unpacked folder.
The notes are the version's section of CHANGELOG.md. The same source gives the same bytes.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.bundle import files_of
from deploy.lock import FUNCTIONS, ROOT
from flinkjobs import __version__

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The first day that a zip archive can hold."""
FILE_MODE = 0o100644


class ReleaseError(Exception):
    """A release cannot be made; the message is one line with the reason."""


def notes(changelog: str, version: str) -> str:
    """The section of one version, without its heading.

    Raises:
        ReleaseError: there is none, or it is empty.
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)
    for section in sections[1:]:
        heading, _, text = section.partition("\n")
        if heading.split()[0] == version and text.strip():
            return text.strip() + "\n"
    raise ReleaseError(f"CHANGELOG.md says nothing about version {version}: write its section")


def make(output: Path, *, tag: str | None = None) -> None:
    """Replaces the folder `output` by the files of the release.

    Raises:
        ReleaseError: `tag` is not that of the package's version, or the changelog lacks the version.
        subprocess.CalledProcessError: the wheel cannot be built.
    """
    if tag not in (None, f"v{__version__}"):
        raise ReleaseError(f"the tag is {tag}, and the version in flinkjobs/__init__.py is {__version__}")
    text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / "notes.md").write_text(text, encoding="utf-8")
    image = {"Dockerfile": ROOT / "deploy" / "Dockerfile"}
    for name in FUNCTIONS:
        files = files_of(name)
        _zip(output / f"flinkjobs-{name}-{__version__}.zip", files)
        image |= {f"{name}/{path}": source for path, source in files.items()}
    _zip(output / f"flinkjobs-image-{__version__}.zip", image)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(output)]
    subprocess.run(build, cwd=ROOT, check=True)


def _zip(archive: Path, files: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(archive, "w") as target:
        for path, source in files.items():
            entry = zipfile.ZipInfo(path, FIRST_DAY)
            entry.external_attr = FILE_MODE << 16
            target.writestr(entry, source.read_bytes(), zipfile.ZIP_DEFLATED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the release and prints its files."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.release", description="Make the files of a release."
    )
    parser.add_argument("--tag", help="fail unless this is the tag of the package's version")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "release")
    options = parser.parse_args(arguments)
    try:
        make(options.output, tag=options.tag)
    except ReleaseError as error:
        print(f"deploy.release: {error}", file=sys.stderr)
        return 1
    for file in sorted(options.output.iterdir()):
        print(f"{file.stat().st_size / 1024:>8.1f} KiB  {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
