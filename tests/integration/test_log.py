"""The log of a process of its own, in which libraries log too."""

import json
import subprocess
import sys


def test_what_a_library_warns_of_is_a_line_too() -> None:
    program = """
import logging
from flinkjobs import log
log.configure("INFO")
logging.getLogger("urllib3.connectionpool").warning("Retrying\\n%s", "once")
logging.getLogger("urllib3.connectionpool").info("not this")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["severity"], line["logger"], line["message"]) == (
        "WARNING",
        "urllib3.connectionpool",
        "Retrying\nonce",
    )
