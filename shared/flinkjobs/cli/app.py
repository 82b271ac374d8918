"""The command `flinkjobs`: global options, groups of commands, and handling of errors."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException
from typer.main import get_command

from flinkjobs import __version__, log
from flinkjobs.cli import (
    actions,
    audit,
    doctor,
    export,
    indexes,
    jobs,
    maintenance,
    notify,
    run_again,
    schedules,
    stats,
    submit,
    unmanaged,
)
from flinkjobs.cli.error_hints import hint_for
from flinkjobs.cli.examples import epilog
from flinkjobs.cli.exit_codes import Exit, exit_for
from flinkjobs.cli.output import Format, Output, ReaderGone, clean
from flinkjobs.cli.session import GlobalOptions, JsonOption
from flinkjobs.domain.errors import FlinkjobsError, code_of

DEBUG_VARIABLE: Final = "FLINKJOBS_DEBUG"

app = typer.Typer(
    name="flinkjobs",
    help="Submit Flink Python jobs, follow them, and find out why one does not move.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: flags without a type, and nothing cut
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for group in (
    submit,
    jobs,
    unmanaged,
    actions,
    run_again,
    audit,
    maintenance,
    schedules,
    notify,
    indexes,
    export,
    stats,
    doctor,
):
    group.register(app)


@app.command("version")
def version(json: JsonOption = False) -> None:
    """Print the version of this command."""
    out = Output(Format.JSON if json else Format.TABLE)
    if out.is_json:
        out.json({"version": __version__})
    else:
        out.line(f"flinkjobs {__version__}")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"flinkjobs {__version__}")
        raise typer.Exit


def command() -> TyperGroup:
    """The command with all its parameters named plainly, and an example in each help text."""
    built = get_command(app)
    assert isinstance(built, TyperGroup)  # noqa: S101 an app of several commands is a group
    _complete_help(built, "")
    return built


def _complete_help(part: Any, words: str) -> None:
    for param in part.params:
        if param.metavar is None and not getattr(param, "is_flag", False):
            param.metavar = (param.name or "").upper()
    if isinstance(part, TyperGroup):
        for name, child in part.commands.items():
            _complete_help(child, f"{words} {name}".strip())
    else:
        part.epilog = epilog(words)


@app.callback()
def options(
    context: typer.Context,
    profile: Annotated[
        str | None,
        typer.Option(
            envvar="FLINKJOBS_PROFILE",
            help="Take all settings from ~/.config/flinkjobs/PROFILE.env, and none from the environment.",
        ),
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option(
            envvar="FLINKJOBS_ENV_FILE",
            help="Take all settings from this file, and none from the environment.",
        ),
    ] = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="Work on MongoDB, Kubernetes and Flink from here, even where the URL of a function is set.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar=DEBUG_VARIABLE,
            help="Log what is done, and show the stack of an unexpected error.",
        ),
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Reads the options that stand before the command's name."""
    context.obj = GlobalOptions(profile=profile, env_file=env_file, is_direct=direct)
    _log_to_standard_error("DEBUG" if debug else "WARNING")
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def main() -> NoReturn:
    """Runs one command and ends the process with its exit code; see `Exit`."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # not every system has both
            signal.signal(getattr(signal, name), _stop)
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    out = Output(Format.JSON if _wants_json(arguments) else Format.TABLE)
    try:
        code = command().main(arguments, prog_name="flinkjobs", standalone_mode=False)
    except FlinkjobsError as error:
        code = exit_for(error)
        out.error(str(error), hint_for(error), code=code_of(error), exit_code=code)
    except TyperException as error:
        context: typer.Context | None = getattr(error, "ctx", None)
        hint = f"see {context.command_path if context else 'flinkjobs'} --help"
        message = error.format_message().removesuffix(".").replace("Value error, ", "")
        code = error.exit_code
        out.error(message or "a command is missing", hint, code=Exit.USAGE.name, exit_code=code)
    except Abort:
        code = Exit.INTERRUPTED
        out.error("nothing was done", code=Exit.INTERRUPTED.name, exit_code=code)
    except _Stopped as stopped:
        code = 128 + stopped.number
        out.error(f"ended by {stopped}", code=str(stopped), exit_code=code)
    except ReaderGone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the output has no reader
        code = Exit.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the boundary: a person gets one line, whatever went wrong
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        code = Exit.BUG
        message = f"unexpected {type(error).__name__}: {clean(error)}"
        out.error(message, "run it with --debug and report the stack", code=Exit.BUG.name, exit_code=code)
    return int(code or 0)


class _Stopped(BaseException):
    """A signal other than Ctrl-C asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _wants_json(arguments: list[str]) -> bool:
    """Whether the result was asked for as JSON, so that an error is printed in the same form.

    Read off the words themselves: a command line that cannot be understood is one of the errors.
    """
    given = arguments[: arguments.index("--") if "--" in arguments else None]
    return bool(_JSON.search("\n".join(given)))


_JSON: Final = re.compile(r"^(--json|(--output|-o)[\n=]?(json|yaml))$", re.MULTILINE)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return "\n".join([_line(record, fields) for fields in log.fields_of(record)])


def _line(record: logging.LogRecord, fields: Mapping[str, Any]) -> str:
    pairs = " ".join(f"{name}={value}" for name, value in fields.items())
    text = clean(f"{record.levelname.lower()}: {record.getMessage()} {pairs}")
    if record.exc_info and log.LOGGER.isEnabledFor(logging.DEBUG):
        return f"flinkjobs: {text}\n{_LINES.formatException(record.exc_info)}"
    raised = clean(f"exception={record.exc_info[1]!r}") if record.exc_info else ""
    return f"flinkjobs: {text} {raised}".rstrip()


_LINES: Final = _Lines()


def _log_to_standard_error(level: str) -> None:
    """Events of the functions go to standard error, only warnings and errors unless asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LINES)
    log.LOGGER.handlers = [handler]
    log.LOGGER.propagate = False
    log.LOGGER.setLevel(level)
