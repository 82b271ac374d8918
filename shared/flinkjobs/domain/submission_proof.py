"""Whether a submitter's output proves that no Flink job was submitted.

A record is FAILED for its submission only with such a proof. Without one, the JobManager may have accepted
the job: the client can time out, lose the connection or be killed after that, and the line with the id can be
lost with the output.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from flinkjobs.domain.submitter_log import QUOTED_TRACEBACK, SUBMITTED_LINE

NOT_RUN_EXIT_CODES: Final = frozenset({126, 127})
"""The program could not be run: https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html"""

STOPPED_EXIT_CODES: Final = frozenset({124, 137, 143})
"""`timeout` has stopped the program, or a signal has: SIGKILL (137) or SIGTERM (143)."""

NOT_STARTED_REASONS: Final = frozenset({"StartError", "ContainerCannotRun"})
"""`state.terminated.reason` of a container that the runtime could not start."""

_ERROR: Final = re.compile(
    rf"{re.escape(QUOTED_TRACEBACK)}|^[A-Za-z_][\w.]*[a-z](?:Error|Exception): |^[\w./-]+: error: "
    r"|(?:[\w$]+\.)+[\w$]*(?:Error|Exception|Throwable)\b",
    re.MULTILINE,
)
_MAY_HAVE_REACHED_JOBMANAGER: Final = re.compile(
    r"TimeoutException|timed out|Connection reset|ClosedChannelException|ConnectionClosedException"
    r"|channel became inactive|prematurely closed|Broken pipe|InterruptedException"
    rf"|\(JobID: [0-9a-f]{{32}}\)|{SUBMITTED_LINE}",
    re.IGNORECASE,
)
"""Words of a client that lost the JobManager after it may have reached it, or of a job that existed."""


def proves_nothing_submitted(output: str, exit_code: int, reason: str = "") -> bool:
    """Whether a submitter that ended like this, without printing an id, has submitted nothing.

    Args:
        output: what it printed, or the end of it.
        exit_code: of its container; not 0.
        reason: `state.terminated.reason` of its container.
    """
    if reason in NOT_STARTED_REASONS or exit_code in NOT_RUN_EXIT_CODES:
        return True
    if exit_code in STOPPED_EXIT_CODES or _MAY_HAVE_REACHED_JOBMANAGER.search(output):
        return False
    return _ERROR.search(output) is not None


def init_failure_proves_nothing_submitted(exit_codes: Collection[int]) -> bool:
    """Whether init containers that ended like this have kept the submitter from starting.

    A sidecar is an init container too, and is stopped by a signal after the submitter.
    """
    return any(code != 0 and code not in STOPPED_EXIT_CODES for code in exit_codes)
