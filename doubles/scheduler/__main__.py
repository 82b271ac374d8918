"""The command: ``python -m doubles.scheduler --port PORT``."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime

from doubles.scheduler.dispatcher import DeadlineClock
from doubles.scheduler.server import Options, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 1 with one line on stderr when the port cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m doubles.scheduler", description="A Cloud Scheduler double for one machine."
    )
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 picks a free one (default)")
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="N",
        help="scheduler time runs N times as fast (default: 1; 0: it stands still)",
    )
    parser.add_argument(
        "--start", type=moment, metavar="TIME", help="first moment of scheduler time, RFC 3339 (default: now)"
    )
    parser.add_argument(
        "--deadlines",
        type=DeadlineClock,
        choices=list(DeadlineClock),
        default=DeadlineClock.SCHEDULER,
        help="count attempt deadlines in scheduler time (default) or by the wall clock, for targets that "
        "need their real time although schedules are accelerated",
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(
            serve(
                Options(
                    port=options.port,
                    speed=options.speed,
                    start=options.start,
                    deadlines=options.deadlines,
                )
            )
        )
    except OSError as error:
        print(f"scheduler double: {error}", file=sys.stderr)
        return 1
    return 0


def speed(text: str) -> float:
    """Reads a finite number that is not negative."""
    value = float(text)
    if not 0 <= value <= 10**6:
        raise argparse.ArgumentTypeError("must be from 0 to 1000000")
    return value


def moment(text: str) -> datetime:
    """Reads a time with its offset."""
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise argparse.ArgumentTypeError("an offset is missing, as in 2026-03-29T00:59:00Z")
    return value


if __name__ == "__main__":
    sys.exit(main())
