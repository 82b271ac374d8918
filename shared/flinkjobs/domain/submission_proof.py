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

MAX_FALLBACK_LINES: Final = 80
MAX_FALLBACK_BYTES: Final = 2048
"""Maximum length of the end of a log that Kubernetes keeps as a termination message (FallbackToLogsOnError):
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

ARGUMENTS_REFUSED: Final = "Use the help option (-h or --help) to get help on the command."
"""What `flink` prints after it has refused its own arguments, a jar that does not exist for instance."""

_ERROR: Final = re.compile(
    rf"{re.escape(QUOTED_TRACEBACK)}|^{re.escape(ARGUMENTS_REFUSED)}"
    r"|^[A-Za-z_][\w.]*[a-z](?:Error|Exception): |^[\w./-]+: error: "
    r"|(?:[\w$]+\.)+[\w$]*(?:Error|Exception|Throwable)\b",
    re.MULTILINE,
)
_MAY_HAVE_REACHED_JOBMANAGER: Final = re.compile(
    r"TimeoutException|timed out|Connection reset|ClosedChannelException|ConnectionClosedException"
    r"|channel became (?:inactive|idle)|prematurely closed|Broken pipe|InterruptedException"
    r"|Response was not valid JSON|Response was neither of the expected type|Response could not be read"
    r"|Duplicate(?:Job|Application)Submission"
    rf"|\(JobID: [0-9a-f]{{32}}\)|{SUBMITTED_LINE}",
    re.IGNORECASE,
)
"""Words of a client that lost the JobManager after it may have reached it, or of a job that existed.

The client's channel becomes idle where no answer comes. The response is not Flink's where a proxy answers
instead of the JobManager (org.apache.flink.runtime.rest.RestClient of Flink 1.20).
"""


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


def is_whole_log(message: str) -> bool:
    """Whether a termination message that is the end of a log is all of it: an id may stand before the end."""
    is_short = len(message.encode()) < MAX_FALLBACK_BYTES
    return is_short and message.count("\n") < MAX_FALLBACK_LINES - 1


def init_failure_proves_nothing_submitted(exit_codes: Collection[int]) -> bool:
    """Whether init containers that ended like this have kept the submitter from starting.

    A sidecar is an init container too, and is stopped by a signal after the submitter.
    """
    return any(code != 0 and code not in STOPPED_EXIT_CODES for code in exit_codes)
