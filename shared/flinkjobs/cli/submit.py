"""`submit`: one job, from a local script, the image, a URL or a template; and `--wait` to follow it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from flinkjobs.cli.client import Document
from flinkjobs.cli.completion import clusters, template_ids
from flinkjobs.cli.exit_codes import Exit, MisuseError
from flinkjobs.cli.follow import INTERVAL_SECONDS, IntervalOption, TimeoutOption, follow
from flinkjobs.cli.output import Output
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.errors import (
    BadRequestError,
    Fault,
    InFlightError,
    NoFunctionError,
    TemporaryError,
    code_of,
)

TRIES: Final = 3
"""How often the same request is sent while the answer is that it may succeed later."""
RETRY_SECONDS: Final = 1.5

AFTER_DASHES: Final = "flinkjobs.after_dashes"
"""Where the arguments after `--` are kept in the command's context."""


class WithArguments(TyperCommand):
    """A command that takes everything after `--` as it is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[AFTER_DASHES] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("submit", cls=WithArguments)(submit)


def submit(
    context: typer.Context,
    script: Annotated[
        Path | None,
        typer.Argument(metavar="SCRIPT", help="A Python script of this machine; its text is sent along."),
    ] = None,
    path: Annotated[str | None, typer.Option(help="A script in the image, instead of a local one.")] = None,
    url: Annotated[
        str | None, typer.Option(help="A script on an allowed host (https), instead of a local one.")
    ] = None,
    entry_module: Annotated[
        str | None, typer.Option(help="A module of --py-file to run, instead of a script.")
    ] = None,
    template_id: Annotated[
        str | None,
        typer.Option(
            help="What kind of job this is; the script's name when left out.", autocompletion=template_ids
        ),
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(help="An argument of the script; repeatable. Or give all of them after --."),
    ] = None,
    parallelism: Annotated[int | None, typer.Option(help="Flink's default parallelism for this job.")] = None,
    py_file: Annotated[
        list[str] | None, typer.Option(help="A Python file or archive in the image for the job; repeatable.")
    ] = None,
    jar: Annotated[list[str] | None, typer.Option(help="A jar in the image.")] = None,
    conf: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of Flink's; repeatable.")
    ] = None,
    savepoint_path: Annotated[str | None, typer.Option(help="Where to restore the job from.")] = None,
    allow_non_restored_state: Annotated[
        bool,
        typer.Option(
            "--allow-non-restored-state",
            help="Start although the savepoint holds state of operators that the script no longer has.",
        ),
    ] = False,
    cluster: Annotated[
        str | None, typer.Option(help="A Flink cluster of the settings.", autocompletion=clusters)
    ] = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="The submitter stays until the job is over.")
    ] = False,
    exactly_once: Annotated[
        bool,
        typer.Option(
            "--exactly-once", help="Fix the Flink Job ID, so that Flink refuses a second submission."
        ),
    ] = False,
    cpu: Annotated[str | None, typer.Option(help="Of the submitter's pod, such as 500m.")] = None,
    memory: Annotated[str | None, typer.Option(help="Of the submitter's pod, such as 1Gi.")] = None,
    job_name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Who submits it.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A label of the job, as Kubernetes' labels; repeatable."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            help="Repeating the command with the same key submits nothing twice. Generated when left out."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the job to its end, and exit by its outcome.")
    ] = False,
    interval: IntervalOption = INTERVAL_SECONDS,
    timeout: TimeoutOption = None,
    json: JsonOption = False,
) -> None:
    """Submit a Flink Python job."""
    session = session_of(context, is_json=json)
    connection, out = session.connection, session.out
    fields: dict[str, Any] = {
        "template_id": template_id or _template_of(script, path, url, entry_module),
        "job_name": job_name,
        "script": script_of(script, path, url),
        "entry_module": entry_module,
        "args": [*(arg or ()), *context.meta.get(AFTER_DASHES, ())],
        "parallelism": parallelism,
        "py_files": py_file,
        "jars": jar,
        "flink_conf": dict(key_and_value("--conf", given) for given in conf or ()),
        "savepoint_path": savepoint_path,
        "allow_non_restored_state": allow_non_restored_state,
        "cluster": cluster,
        "attached": attached,
        "exactly_once": exactly_once,
        "resources": {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None},
        "submitted_by": submitted_by,
        "labels": dict(key_and_value("--label", given) for given in label or ()),
    }
    body = {name: value for name, value in fields.items() if not _is_left_out(value)}
    if wait:
        connection.expect("jobs")  # before anything is sent: jobs reports the job's end
    key = idempotency_key or str(uuid.uuid4())
    accepted = send(lambda: connection.submit(body, key=key), out, key)
    if not wait:
        _show_accepted(out, accepted)
        return
    if not out.is_json:
        _show_accepted(out, accepted)
    follow(connection, out, accepted["job_id"], interval_seconds=interval, timeout_seconds=timeout)


def _is_left_out(value: object) -> bool:
    """Whether an option was not given; 0 and "" are given, and refused by the function if they are wrong."""
    return value is None or value is False or value in ([], {})


def _template_of(script: Path | None, path: str | None, url: str | None, entry_module: str | None) -> str:
    source = script.name if script is not None else (path or url or "").partition("?")[0].rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", source.removesuffix(".py")).lstrip("_.-")[:100]
    if not name:
        if not (source or entry_module):
            raise MisuseError(
                "there is nothing to run: give a SCRIPT, --path, --url, or --template-id of a template"
            )
        raise MisuseError("--template-id is required: no script gives the job its name")
    return name


def script_of(script: Path | None, path: str | None, url: str | None) -> Mapping[str, str] | None:
    """What the request says of the script: of three ways at most one; None without any."""
    given = {name: value for name, value in (("SCRIPT", script), ("--path", path), ("--url", url)) if value}
    if len(given) > 1:
        raise MisuseError(f"{' and '.join(given)} are two scripts; give one")
    if script is not None:
        return {"inline": _text_of(script)}
    if path is not None:
        return {"path": path}
    return None if url is None else {"url": url}


def _text_of(script: Path) -> str:
    try:
        return script.read_bytes().decode()
    except OSError as error:
        raise MisuseError(f"SCRIPT {script} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        fault = Fault("/script/inline", f"{script} is not UTF-8, at byte {error.start}")
        raise BadRequestError("nothing was submitted", (fault,)) from error


def key_and_value(option: str, given: str) -> tuple[str, str]:
    """The two parts of a repeatable option."""
    key, equals, value = given.partition("=")
    if not equals or not key:
        raise MisuseError(f"{option} must be KEY=VALUE, not {given!r}")
    return key, value


def send(ask: Callable[[], Document], out: Output, key: str) -> Document:
    """Sends the request, and the same one again while that may help: the key makes it safe.

    A repetition may be answered that the first request is in flight. That is no news: the error is then the
    first answer, which says what is wrong.
    """
    first: TemporaryError | None = None
    try:
        for attempt in range(1, TRIES):
            try:
                return ask()
            except NoFunctionError:
                raise
            except TemporaryError as error:
                first = first or error
                out.note(f"{error}; trying again")
                time.sleep(RETRY_SECONDS * attempt)
        try:
            return ask()
        except TemporaryError as error:
            raise (first if code_of(error) == InFlightError.code and first else error) from None
    except (TemporaryError, KeyboardInterrupt) as error:
        out.note(
            "It is not known whether the job was accepted. Repeating the command is safe with "
            f"--idempotency-key {key}",
            style="yellow",
        )
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from None
        raise


def _show_accepted(out: Output, accepted: Document) -> None:
    if out.is_json:
        out.json(accepted)
        return
    out.line(f"Accepted {accepted['job_id']} as Kubernetes Job {accepted['k8s_job_name']}.")
