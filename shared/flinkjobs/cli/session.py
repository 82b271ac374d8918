"""Session of a command: the global options, the settings and the output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from flinkjobs.cli.client import Connection
from flinkjobs.cli.config import environment
from flinkjobs.cli.output import Output

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else on standard output.")
]


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options that stand before the command's name.

    Attributes:
        profile: name of the profile with the settings.
        env_file: file with the settings.
        is_direct: leave the URLs of deployed functions alone.
    """

    profile: str | None = None
    env_file: Path | None = None
    is_direct: bool = False


class Session:
    """One run of one command.

    Attributes:
        out: where it prints.
    """

    def __init__(self, options: GlobalOptions, *, is_json: bool) -> None:
        self._options = options
        self.out = Output(is_json=is_json)

    @cached_property
    def environ(self) -> dict[str, str]:
        """The settings by their names in the environment."""
        options = self._options
        return environment(
            os.environ, profile=options.profile, env_file=options.env_file, directory=Path.cwd()
        )

    @cached_property
    def connection(self) -> Connection:
        """The system that the settings describe."""
        return Connection(self.environ, is_direct=self._options.is_direct)

    def close(self) -> None:
        """Closes the connections to the functions, where there are any."""
        if "connection" in vars(self):
            self.connection.close()


def session_of(context: typer.Context, *, is_json: bool) -> Session:
    """The session of a command, by the context that typer gives it."""
    session = Session(context.find_object(GlobalOptions) or GlobalOptions(), is_json=is_json)
    context.call_on_close(session.close)
    return session
