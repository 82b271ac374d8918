"""Reads what a submitter printed: the Flink Job IDs, and the lines that tell why it failed.

The Flink CLI prints `Job has been submitted with JobID <32 hex digits>` on a line of its own, attached
and detached alike (CliFrontend and ExecutorUtils of Flink 1.17 to 2.3). Look-alikes carry an id too:
`Submitting job … (<id>)` comes before acceptance, `Job failed (JobID: <id>)` stands in stack traces,
and a script may quote the CLI's phrase in a sentence of its own. Only the whole line counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

SUBMITTED_LINE: Final = "Job has been submitted with JobID"
"""What the CLI prints before the id."""

KEPT_BYTES: Final = 16 * 1024
"""So much of the end of a log is shown, and kept on a record that is given up."""

MAX_ERROR_CHARACTERS: Final = 1500
"""Maximum number of characters of error lines."""

UNREADABLE_LOG_PREFIXES: Final = (
    b"unable to retrieve container logs for ",
    b"failed to try resolving symlinks",
)
"""What a kubelet answers with status 200 when the log file is gone."""

_LINE_END: Final = re.compile(r"\r\n?|\n")
_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colours and cursor moves
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles and links
    r"|[()][0-9A-Z])"  # character sets, as `tput sgr0` writes them
)
_RFC3339_PREFIX: Final = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (?:std(?:out|err) [FP] )?"
)
_SUBMITTED: Final = re.compile(rf"^{SUBMITTED_LINE} ([0-9a-f]{{32}})\s*$")
_EXCEPTION: Final = re.compile(r"(?:[\w$]+\.)+[\w$]*(?:Error|Exception|Throwable)\b")
_WRAPPERS: Final = re.compile(
    r"^(?:(?:java\.util\.concurrent\.(?:Completion|Execution)Exception"
    r"|org\.apache\.flink\.client\.program\.ProgramAbortException): )+(?=(?:[\w$]+\.)+[\w$]+)"
)
_JAVA_FRAME: Final = re.compile(r"^\s+(?:at |\.\.\. \d+ (?:more|common))")
_PROCESS_EXIT: Final = "Python process exits with code"
QUOTED_TRACEBACK: Final = "Traceback (most recent call last):"
_PY4J_WRAPPER: Final = "Py4JJavaError: An error occurred while calling"
_SERVER_SIDE: Final = "<Exception on server side:"


def without_escapes(text: str) -> str:
    """The text without ANSI escape codes."""
    return _ANSI.sub("", text)


def lines_of(text: str) -> Iterator[str]:
    """Yields the lines without line ends, ANSI escape codes and a container runtime's time prefix.

    Only LF, CR and CRLF end a line. The other separators of Unicode are text that a script printed.
    """
    for line in _LINE_END.split(text):
        yield _RFC3339_PREFIX.sub("", without_escapes(line))


def job_ids(text: str) -> tuple[str, ...]:
    """The Flink Job IDs that the CLI printed, in order, without repeats."""
    found = (_SUBMITTED.match(line) for line in lines_of(text) if SUBMITTED_LINE in line)
    return tuple(dict.fromkeys(match[1] for match in found if match))


def is_unreadable(raw: bytes) -> bool:
    """Whether these bytes are the kubelet's excuse instead of a log (it comes with status 200)."""
    return raw.startswith(UNREADABLE_LOG_PREFIXES) and raw.count(b"\n") <= 1


def error_lines(text: str) -> str:
    """Lines that name the cause of a failed submission, cut at `MAX_ERROR_CHARACTERS`.

    These are the line that ends the last Python traceback, and the deepest cause of the Java stack
    trace. Where neither is found, the last lines printed are all there is.
    """
    lines = [line for line in lines_of(text) if line.strip()]
    cause = root_cause(lines)
    error = _python_error(lines)
    if cause and error and _PY4J_WRAPPER in error:
        error = None  # it only says that the Java side failed; the cause says why
    if cause and error and cause.endswith(QUOTED_TRACEBACK):
        cause = None  # it only says that a Python worker failed; the error says why
    told = [line for line in (error, cause) if line]
    if not told:
        told = [line.strip() for line in lines if not _JAVA_FRAME.match(line)][-5:]
    return "\n".join(dict.fromkeys(told))[:MAX_ERROR_CHARACTERS]


def tail(text: str, limit_bytes: int) -> str:
    """The end of a text, at most so long in UTF-8, beginning with a whole line where it holds one."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit_bytes:
        return text
    kept = encoded[-limit_bytes:].decode(errors="ignore")
    is_whole = encoded[-limit_bytes - 1 : -limit_bytes] == b"\n"
    _, end_of_line, lines = kept.partition("\n")
    return lines if end_of_line and lines and not is_whole else kept


def root_cause(lines: Iterable[str]) -> str | None:
    """The deepest cause named in a Java stack trace, or None where there is no stack trace.

    A cause that only repeats a part of the one above it says less (`Connection refused` below
    `Connection refused: host:port`): then the one above is taken. An exception of the server that
    Flink's client quotes counts as the deepest.
    """
    chain: list[str] = []
    quoted = False
    for line in lines:
        text = line.strip().removeprefix(": ")
        is_cause = text.startswith("Caused by: ")
        text = _WRAPPERS.sub("", text.removeprefix("Caused by: "))
        if (is_cause or quoted or not chain) and _EXCEPTION.match(text) and _PROCESS_EXIT not in text:
            chain.append(text)
        quoted = text.endswith(_SERVER_SIDE)
    while len(chain) > 1 and (_message(chain[-1]) in chain[-2] or chain[-1].endswith(_SERVER_SIDE)):
        chain.pop()
    return chain[-1] if chain else None


def _message(exception_line: str) -> str:
    return exception_line.partition(": ")[2]


def _python_error(lines: Iterable[str]) -> str | None:
    """The first line after the last traceback's frames that begins at the margin: `ValueError: …`."""
    error: str | None = None
    in_traceback = False
    for line in lines:
        if QUOTED_TRACEBACK in line:  # Java quotes a worker's traceback in mid-line
            in_traceback = True
        elif in_traceback and not line.startswith((" ", "\t")):
            error, in_traceback = line.strip(), False
        elif line.startswith("SyntaxError: "):
            error = line.strip()  # a script that does not compile prints no traceback header
    return error


MARK: Final = "flinkjobs/1"
"""First line of the termination message that our submitter writes when it has ended."""

_END: Final = re.compile(r"end (\d+)")


class MarkedMessage(msgspec.Struct, frozen=True):
    """A termination message that our submitter has written.

    Attributes:
        ids: the Flink Job IDs in it.
        is_whole: nothing of it was cut: all ids that flink printed are in it. Kubernetes keeps 4096 bytes of
            a message, and 12 KiB for all containers of a pod.
    """

    ids: tuple[str, ...]
    is_whole: bool


def marked_message(text: str) -> MarkedMessage | None:
    """Our submitter's termination message; None for any other text, such as Kubernetes' own words."""
    lines = text.strip().splitlines()
    if not lines or lines[0] != MARK:
        return None
    ids = job_ids(text)
    end = _END.fullmatch(lines[-1])
    return MarkedMessage(ids, is_whole=end is not None and int(end[1]) == len(lines) - 2)
