"""Python in a process of its own, for what can be seen only where nothing has been imported yet."""

from __future__ import annotations

import subprocess
import sys

TIMEOUT_SECONDS = 60


def what_prints(program: str, *arguments: object) -> tuple[str, str]:
    """What a program prints, and its errors; it finds its arguments as texts in `sys.argv`."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return done.stdout, done.stderr
