"""Parses the log of a submitter: the Flink Job IDs, and the lines that explain a failure.

The Flink CLI prints `Job has been submitted with JobID <32 hex digits>` on a line of its own, attached
and detached alike (CliFrontend and ExecutorUtils of Flink 1.17 to 2.3). Look-alikes carry an id too:
`Submitting job … (<id>)` comes before acceptance, `Job failed (JobID: <id>)` stands in stack traces,
and a script may quote the CLI's phrase in a sentence of its own. Only the whole line counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from flinkjobs.domain.log_layout import BANNER, plain_lines

SUBMITTED_LINE: Final = "Job has been submitted with JobID"
"""What the CLI prints before the id."""

IMAGE_LACKS: Final = "flinkjobs: the image lacks "
"""What our submitter prints before the name of a program that the image must hold."""

KEPT_BYTES: Final = 16 * 1024
"""So much of the end of a log is shown, and kept on a record that is given up."""

MAX_ERROR_CHARACTERS: Final = 1500
"""Maximum number of characters of error lines."""

MAX_DETAIL_LINES: Final = 12
"""Maximum number of lines kept of a message after its first."""

MAX_LAST_LINES: Final = 5
"""Maximum number of lines shown of a log without an error."""

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
_SCRIPT_START: Final = "Starting Python process with environment variables"
"""The client logs this line, with every variable and its value, before the script's output."""
_PROCESS_EXIT: Final = "Python process exits with code"
QUOTED_TRACEBACK: Final = "Traceback (most recent call last):"
_PY4J_WRAPPER: Final = "Py4JJavaError: An error occurred while calling"
_PYFLINK_WRAPPERS: Final = "pyflink.util.exceptions."
"""Python's names for exceptions of Java, each with the stack trace of Java behind it."""
_SERVER_SIDE: Final = "<Exception on server side:"
_BAD_VALUE: Final = " for key '"
"""In the message of a configuration value that Flink cannot parse; the cause below it omits the key."""
_PYTHON_ERROR: Final = re.compile(
    r"(?:(?:[^\W\d][\w<>]*\.)+\w+|[^\W\da-z]\w*)"  # `struct.error`, `KeyError`
    r"(?:: .*|:?)$"
)
_NOT_STARTED: Final = re.compile(
    r"(?:SyntaxError|IndentationError|TabError): "
    r"|\S*python[\d.]*: (?:can't open file|No module named|Error while finding module)"
)
"""What Python prints without a traceback, of a script that it cannot load."""
_USAGE: Final = re.compile(r"[Uu]sage: ")
_USAGE_ERROR: Final = re.compile(r"(?:[^\s:]+(?: [^\s:]+)*: )?[Ee]rror: .")
"""Wrong arguments, as argparse (`prog: error: …`) and click (`Error: …`) report them below the usage."""
_END_OF_MESSAGE: Final = re.compile(
    r"\s+at |\s*\.\.\. \d+ (?:more|common)|Caused by: |\s*Suppressed: |End of exception on server side>"
    r"|\s*-{8}|Traceback |During handling of the above exception|The above exception was the direct cause"
    rf"|Exception ignored |{SUBMITTED_LINE}|.*{_PROCESS_EXIT}"
)
_CLIENT_REMARKS: Final = re.compile(
    rf"\s*-{{8}}|.*{_PROCESS_EXIT}|Run python process failed|Fatal error while running command line interface"
)


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
    """Whether these bytes are the kubelet's error text, which it sends instead of a log with status 200."""
    return raw.startswith(UNREADABLE_LOG_PREFIXES) and raw.count(b"\n") <= 1


def error_lines(text: str) -> str:
    """Lines that name the cause of a failed submission, cut at `MAX_ERROR_CHARACTERS`.

    The first line is the cause. It is the error that ended Python, unless that only reports an exception of
    Java: then it is the configuration key with a value that cannot be parsed, or the deepest cause of the
    Java stack trace. Where neither is found, these are the last lines of the log.
    """
    lines = [line for line in plain_lines(lines_of(text)) if line.strip()]
    chain = _causes(lines)
    cause = _deepest(chain)
    key = next((each for each in reversed(chain) if _BAD_VALUE in each), None)
    error = _python_error(lines)
    if cause and error and _PY4J_WRAPPER in error:
        error = None  # it only says that the Java side failed; the cause says why
    if cause and error and cause.partition("\n")[0].endswith(QUOTED_TRACEBACK):
        cause = None  # it only says that a Python worker failed; the error says why
    is_wrapper = error is not None and error.startswith(_PYFLINK_WRAPPERS)
    found = (key, cause, error) if is_wrapper else (error, key, cause)
    causes = [line for block in found if block for line in block.split("\n")] or _last_lines(lines)
    return "\n".join(dict.fromkeys(causes))[:MAX_ERROR_CHARACTERS]


def _last_lines(lines: Sequence[str]) -> list[str]:
    """The last lines but for those of the client: its start, which lists the environment, and its remarks."""
    starts = [index for index, line in enumerate(lines) if line.startswith(_SCRIPT_START)]
    of_script = lines[starts[-1] + 1 :] if starts else lines
    remarks = (_JAVA_FRAME, _CLIENT_REMARKS)
    kept = [line.strip() for line in of_script if not any(remark.match(line) for remark in remarks)]
    return list(dict.fromkeys(kept))[-MAX_LAST_LINES:]


def tail(text: str, limit_bytes: int) -> str:
    """The end of a text, at most `limit` bytes in UTF-8, beginning with a whole line where it holds one."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit_bytes:
        return text
    kept = encoded[-limit_bytes:].decode(errors="ignore")
    is_whole = encoded[-limit_bytes - 1 : -limit_bytes] == b"\n"
    _, end_of_line, lines = kept.partition("\n")
    return lines if end_of_line and lines and not is_whole else kept


def _causes(lines: Sequence[str]) -> list[str]:
    """The exceptions of the last Java stack trace, outermost first.

    A stack trace that only says that Python ended is passed over.
    """
    chain: list[int] = []
    head: int | None = None  # of a stack trace, if frames follow
    is_quoted = False
    for index, line in enumerate(lines):
        text = _exception_of(line)
        if _PROCESS_EXIT in text:
            head = None
        elif _EXCEPTION.match(text) and (is_quoted or line.startswith("Caused by: ")):
            if head is not None:
                chain, head = [head], None
            chain.append(index)
        elif _EXCEPTION.match(text):
            head = index
            chain = chain or [index]
        elif head is not None and _JAVA_FRAME.match(line):
            chain, head = [head], None
        is_quoted = text.endswith(_SERVER_SIDE)
    while len(chain) > 1 and _is_repetition(_exception_of(lines[chain[-1]]), _exception_of(lines[chain[-2]])):
        chain.pop()
    return [_message_block(lines, index) for index in chain]


def _exception_of(line: str) -> str:
    return _WRAPPERS.sub("", line.strip().removeprefix(": ").removeprefix("Caused by: "))


def _is_repetition(inner: str, outer: str) -> bool:
    type_name, _, message = inner.partition(": ")
    return inner.endswith(_SERVER_SIDE) or (message in outer and re.split(r"[.$]", type_name)[-1] in outer)


def _deepest(chain: Sequence[str]) -> str | None:
    """The deepest cause of a stack trace; None without one.

    A cause that repeats type and message of the one above it was passed over (`ConnectException: refused`
    below `AnnotatedConnectException: refused: host:port`). One that repeats the message alone is followed by
    the one above. An exception of the server that Flink's client quotes counts as the deepest. A message of
    several lines is cut at `MAX_DETAIL_LINES`.
    """
    if len(chain) < 2:  # noqa: PLR2004 a cause and the one above it
        return chain[0] if chain else None
    above, cause = chain[-2:]
    message = cause.partition(": ")[2]
    if message not in above:
        return cause
    return f"{cause}\n{above}" if message else f"{above}\n{cause}"


def _message_block(lines: Sequence[str], index: int) -> str:
    """The exception at an index, with the further lines of its message."""
    block = [_exception_of(lines[index])]
    for line in lines[index + 1 : index + 1 + MAX_DETAIL_LINES]:
        if _END_OF_MESSAGE.match(line) or _EXCEPTION.match(line):
            break
        block.append(line.rstrip())
    return "\n".join(block)


def _python_error(lines: Sequence[str]) -> str | None:
    """The line that ends the last traceback, `ValueError: …`, or says why the script was not run."""
    found: int | None = None
    in_traceback = has_usage = False
    for index, line in enumerate(lines):
        if QUOTED_TRACEBACK in line:  # Java quotes a worker's traceback in mid-line
            in_traceback = True
        elif line.startswith(BANNER):
            in_traceback = has_usage = False
        elif _NOT_STARTED.match(line) or (in_traceback and _PYTHON_ERROR.match(line)):
            found, in_traceback = index, False
        elif has_usage and _USAGE_ERROR.match(line):
            found, has_usage = index, False
        has_usage = has_usage or bool(_USAGE.match(line))
    return None if found is None else _message_block(lines, found)


MARK: Final = "flinkjobs/1"
"""First line of the termination message that our submitter writes when it has ended."""


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
    """The submitter's own termination message; None for any other text, such as Kubernetes' own words.

    A message without its beginning counts as another text: Kubernetes may have cut it.
    """
    first, *rest = lines_of(text)
    if first != MARK:
        return None
    lines = [line for line in rest if line.strip()]
    count = sum(1 for line in lines if _SUBMITTED.match(line))
    is_whole = lines[-1:] == [f"end {count}"] and len(lines) == count + 1
    return MarkedMessage(job_ids(text), is_whole=is_whole)
