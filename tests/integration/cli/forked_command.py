"""Runs the command in a process of its own for each line of its input, without the imports of a new Python.

    python -m tests.integration.cli.forked_command

A line is JSON: `arguments`, `environ`, `cwd`, and the files `out` and `err`. Prints the exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from typing import Final

from flinkjobs.cli.app import main

PRELOADED: Final = (
    *("flinkjobs.entrypoints.cleanup", "flinkjobs.entrypoints.submit", "flinkjobs.entrypoints.sync"),
    *("httpx", "rich.live", "rich.progress", "rich.table", "yaml"),
)
"""What most commands import; each still has to import what it uses."""


def serve() -> None:
    """Forks for each line; a child is the command, and ends as it does."""
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(**wanted)
            main()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def become(arguments: list[str], environ: dict[str, str], cwd: str, out: str, err: str) -> None:
    """Gives this process the arguments, the environment and the streams of a command."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for target, opened in (
        (0, os.open(os.devnull, os.O_RDONLY)),
        (1, os.open(out, flags, 0o600)),
        (2, os.open(err, flags, 0o600)),
    ):
        os.dup2(opened, target)
        os.close(opened)
    sys.argv[1:] = arguments
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # no collection of a child copies what it shares
    serve()
