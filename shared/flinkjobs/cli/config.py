"""Sources of the command's settings: the environment, `./.env`, or a profile.

A file that is named, as a profile or by its path, is the whole configuration: the settings of two systems
never mix. It may refer to the environment as `${NAME}`, for secrets. `./.env` fills in what the environment
does not set, as is usual.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from flinkjobs.cli.exit_codes import MisuseError

DEFAULT_FILE: Final = ".env"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def environment(
    environ: Mapping[str, str], *, profile: str | None, env_file: Path | None, directory: Path
) -> dict[str, str]:
    """The settings as the command uses them.

    Args:
        environ: this process's environment.
        profile: name of a profile, see `profile_path`; None where none was chosen.
        env_file: a file that was named; None where none was.
        directory: where `.env` is looked for when neither was chosen.

    Raises:
        MisuseError: the file is not there or cannot be read; or both a profile and a file were chosen.
    """
    if profile is not None and env_file is not None:
        raise MisuseError("--profile and --env-file are two ways to say the same; give one of them")
    if profile is not None:
        return _read(profile_path(profile, environ), f"profile {profile}")
    if env_file is not None:
        return _read(env_file, "--env-file")
    implied = directory / DEFAULT_FILE
    return {**(_read(implied, "this directory's") if implied.is_file() else {}), **environ}


def profile_path(name: str, environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/flinkjobs/NAME.env`; the folder is `~/.config` where that is not set.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    if not _NAME.fullmatch(name):
        raise MisuseError("--profile must be a name of letters, digits, '.', '_' and '-', not a path")
    configured = environ.get("XDG_CONFIG_HOME", "")
    home = Path(configured) if configured.startswith("/") else Path.home() / ".config"
    return home / "flinkjobs" / f"{name}.env"


def _read(path: Path, what: str) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise MisuseError(f"{what} file {path} cannot be read: {cause}") from error
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise MisuseError(f"{what} file {path}: line {binding.original.line} is not NAME=value")
    return {
        name: value for name, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None
    }
