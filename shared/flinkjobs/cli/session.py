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
from flinkjobs.cli.output import Format, Output

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else on standard output.")
]

FormatOption: TypeAlias = Annotated[
    Format,
    typer.Option(
        "--output", "-o", metavar="FORMAT", help="table, wide, json, yaml, or name for the ids alone."
    ),
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

    def __init__(self, options: GlobalOptions, *, form: Format) -> None:
        self._options = options
        self.out = Output(form)

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


def session_of(context: typer.Context, *, is_json: bool, form: Format = Format.TABLE) -> Session:
    """The session of a command, by the context that typer gives it.

    Args:
        context: of the command.
        is_json: `--json`, the short way to say `-o json`.
        form: `-o`, where the command has it.
    """
    wanted = Format.JSON if is_json and form is not Format.YAML else form
    session = Session(context.find_object(GlobalOptions) or GlobalOptions(), form=wanted)
    context.call_on_close(session.close)
    return session
