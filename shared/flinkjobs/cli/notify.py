"""`notify`: the channels that sync sends events to."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from flinkjobs.cli.client import Document
from flinkjobs.cli.exit_codes import Exit
from flinkjobs.cli.formatting import moment
from flinkjobs.cli.output import Output, table
from flinkjobs.cli.session import JsonOption, session_of
from flinkjobs.domain.errors import NoFunctionError, NotFoundError
from flinkjobs.domain.events import sample_event
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.ports.channels import Delivered

COLUMNS = (
    "Channel",
    "State",
    "Last success (UTC)",
    "Waiting",
    "Delivered",
    "Failed",
    "Set aside",
    "Last error",
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(no_args_is_help=True, help="Show and try the channels that sync sends events to.")
    group.command("list")(list_)
    group.command("test")(send_test)
    group.command("retry")(retry)
    app.add_typer(group, name="notify")


def list_(context: typer.Context, json: JsonOption = False) -> None:
    """Show every channel: whether it takes events, what waits for it, what it will not be sent."""
    session = session_of(context, is_json=json)
    found = session.connection.metrics().get("notifications")
    if found is None:
        raise NoFunctionError("the function jobs is of an older version, which knows no channels")
    if session.out.is_json:
        session.out.json(found)
    else:
        _show(session.out, found)


def _show(out: Output, found: Document) -> None:
    if not found["channels"]:
        out.line("Sync has been given no channel (NOTIFY_CHANNELS).")
        return
    rows = [
        (
            channel["name"],
            channel["state"],
            moment(channel["last_success_at"]),
            *(channel[name] for name in ("waiting", "delivered", "failed", "set_aside")),
            channel["last_error"],
        )
        for channel in found["channels"]
    ]
    out.show(table(COLUMNS, rows))
    if found["pending"]:
        age = found["oldest_pending_seconds"] or 0
        out.line(f"Pending: events of {found['pending']} jobs and clusters, the oldest {age:.0f} s old.")


def send_test(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Its name in NOTIFY_CHANNELS.")],
    json: JsonOption = False,
) -> None:
    """Send one event of type flinkjobs.notify.test to this channel only, from this machine.

    The channel comes from NOTIFY_CHANNELS as it is set here; its filter does not count. Exits with 1
    where the channel does not take the event.
    """
    from flinkjobs.entrypoints.channels import build_channels  # Apprise takes a second to import

    session = session_of(context, is_json=json)
    channels = {each.name: each for each in build_channels(session.connection.settings("NOTIFY_CHANNELS"))}
    if channel not in channels:
        known = ", ".join(channels)
        raise NotFoundError(f"NOTIFY_CHANNELS names no channel {channel}; it names: {known}")
    event = sample_event(uuid.uuid4().hex, utc_now())
    result = channels[channel].send([event])
    error = None if isinstance(result, Delivered) else result.error
    if session.out.is_json:
        session.out.json({"channel": channel, "id": event.id, "delivered": error is None, "error": error})
    elif error is None:
        session.out.line(f"{channel} has taken the test {event.id}.")
    else:
        session.out.line(f"{channel} has not taken the test: {error}", style="red")
    raise typer.Exit(Exit.OK if error is None else Exit.FAILED)


def retry(
    context: typer.Context,
    channel: Annotated[
        str | None, typer.Argument(metavar="CHANNEL", help="Its name; every channel when left out.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Let the next pass send to a channel at once: end its waiting time and count what was set aside from 0.

    A channel whose receiver answered 410 gets the events of what happens from then on. What was set aside is
    not sent again. Works on MongoDB (MONGODB_URI).
    """
    from flinkjobs.entrypoints.store_admin import connect_notify_store

    session = session_of(context, is_json=json)
    with connect_notify_store(session.connection.settings()) as store:
        names = list(store.retry(channel))
    if channel is not None and not names:
        raise NotFoundError(f"sync has been given no channel {channel}; flinkjobs notify list shows all")
    if session.out.is_json:
        session.out.json({"channels": names})
    else:
        said = f"The next pass sends to {', '.join(names)}." if names else "Sync has been given no channel."
        session.out.line(said)
