"""Puts the parts of the double together and serves them until it is stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from doubles.scheduler.api import Api, errors_as_json
from doubles.scheduler.attempts import AttemptLog
from doubles.scheduler.clock import Clock
from doubles.scheduler.control import Control
from doubles.scheduler.dispatcher import DeadlineClock, Dispatcher
from doubles.scheduler.store import JobStore

HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 0.05
"""What open requests get at the end; 0 would mean for ever to aiohttp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run.

    Attributes:
        port: 0 picks a free one.
        speed: seconds of scheduler time per second of the wall clock; 0: the clock stands still.
        start: the first moment of scheduler time; None means the real time.
        deadlines: the clock by which attempt deadlines are counted.
    """

    port: int = 0
    speed: float = 1.0
    start: datetime | None = None
    deadlines: DeadlineClock = DeadlineClock.SCHEDULER


async def serve(options: Options) -> None:
    """Serves until SIGTERM or SIGINT, having printed ``scheduler double on http://127.0.0.1:PORT``."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(options) as url:
        print(f"scheduler double on {url}", flush=True)
        await stop.wait()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[str]:
    """Serves in the running event loop as long as the context lasts; gives the URL."""
    store, log = JobStore(), AttemptLog()
    clock = Clock(speed=options.speed, start=options.start)
    dispatcher = Dispatcher(store, clock, log, deadlines=options.deadlines)
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(Api(store, clock, dispatcher).routes())
    app.add_routes(Control(store, clock, dispatcher, log).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, options.port).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await dispatcher.close()
        await runner.cleanup()
