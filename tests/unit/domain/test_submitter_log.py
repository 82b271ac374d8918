"""Finding Flink Job IDs and error lines in what a submitter printed."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flinkjobs.domain import submitter_log
from tests.support.recordings import FOLDER, VERSIONS, cli_commands, cli_log

ID = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
LINE = f"Job has been submitted with JobID {ID}"

JOBS_SUBMITTED = {
    "ds_fail_udf": 1,
    "ds_finish": 1,
    "ds_finish--fixed-job-id-1st": 1,
    "ds_finish--fixed-job-id-2nd": 0,  # Flink refuses the same id a second time
    "ds_finish--no-taskmanager": 1,
    "ds_finish--p2": 1,
    "ds_finish--p64": 1,
    "ds_finish--p64-young-jobmanager": 1,
    "ds_finish--pipeline-name": 1,
    "ds_finish--unreachable": 0,
    "ds_two_executes": 2,
    "fail_runtime_sql": 1,
    "fail_runtime_sql_wait": 1,
    "fail_runtime_udf": 1,
    "forged_id": 2,  # the script prints the CLI's own line once itself
    "misleading_text": 1,  # and six look-alikes
    "no_such_script": 0,
    "raise_before_submit": 0,
    "select_print": 1,
    "sql_forever_wait": 1,
    "sql_forever_wait--cancelled": 1,
    "sql_insert_forever": 1,
    "sql_insert_forever--fixed-job-id-1st": 1,
    "sql_insert_forever--fixed-job-id-2nd": 0,
    "sql_insert_forever--fixed-job-id-after-end": 0,
    "sql_insert_wait": 1,
    "sql_insert_wait--p2": 1,
    "sql_insert_wait--pipeline-name": 1,
    "sql_insert_wait--unreachable": 0,
    "statement_set": 1,
    "submit_then_raise": 1,
    "submits_nothing": 0,
    "syntax_error": 0,
    "table_udf": 1,
    "two_inserts": 2,
    "two_inserts--fixed-job-id": 1,  # 1.20 refuses the second, see below for 2.3
    "unfinished_line": 1,
}
"""How many ids each recorded script's output holds, by what the script does."""

RECORDINGS = [(version, name) for version in VERSIONS for name in cli_commands(version)]


@pytest.mark.parametrize(("version", "recording"), RECORDINGS)
def test_every_recorded_submission_yields_as_many_ids_as_its_script_submits(
    version: str, recording: str
) -> None:
    script = recording.rpartition(".")[0]
    expected = JOBS_SUBMITTED[script]
    if (version, script) == ("2.3", "two_inserts--fixed-job-id"):
        expected = 2  # 2.3 gives the second job another id instead of refusing it
    assert len(submitter_log.job_ids(cli_log(version, recording))) == expected


@pytest.mark.parametrize(
    ("version", "recording", "expected"),
    [
        (
            "1.20",
            "ds_two_executes.detached",
            ("8df393880a13cea468c7c52efd6f4131", "41f31fd1e05aa64abc2494095c0ff246"),
        ),
        (
            "2.3",
            "two_inserts.attached",
            ("0245788ad927e51890d8bc1cf16e7262", "a1a0bfcf3bbce51f4f924020364d1daf"),
        ),
        ("1.20", "forged_id.detached", ("4" * 32, "f09bdaa8bf115807ceb6e17d19abc97a")),
        ("2.3", "forged_id.attached", ("4" * 32, "6d10f7543a6cda81c359c291e32a8721")),
        ("1.20", "misleading_text.attached", ("9669ddf3b0fcfd9371c50becf0090958",)),
        ("2.3", "misleading_text.detached", ("d122e20af41e2eb38d3155b898ebb6a5",)),
        ("1.20", "submit_then_raise.detached", ("3735504c1943aa775b929ad1abaf722f",)),
        ("2.3", "unfinished_line.detached", ("39a2d5c4ae13a87161549fcbbaccf479",)),
        ("2.3", "sql_forever_wait.detached", ("c3b72c91802c3ead134389cd18ea7845",)),
    ],
)
def test_ids_come_in_the_order_in_which_they_were_printed(
    version: str, recording: str, expected: tuple[str, ...]
) -> None:
    assert submitter_log.job_ids(cli_log(version, recording)) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_the_ids_are_those_that_the_command_line_fixed(version: str) -> None:
    fixed = {
        name: match[1]
        for name, (_exit, command) in cli_commands(version).items()
        if "fixed-job-id-1st" in name and (match := re.search(r"pipeline\.job-id=([0-9a-f]{32})", command))
    }
    assert len(fixed) == 4
    assert {name: (id_,) for name, id_ in fixed.items()} == {
        name: submitter_log.job_ids(cli_log(version, name)) for name in fixed
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_the_ids_are_those_that_the_scripts_saw_themselves(version: str) -> None:
    seen = 0
    for name in cli_commands(version):
        log = cli_log(version, name)
        said = re.search(r"(?:job id from the script|submitted from the script): ([0-9a-f]{32})", log)
        if said:
            seen += 1
            assert submitter_log.job_ids(log) == (said[1],), name
    assert seen >= 10


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LINE, id="no line end"),
        pytest.param(f"{LINE}\n", id="LF"),
        pytest.param(f"noise\r\n{LINE}\r\nnoise\r\n", id="CRLF"),
        pytest.param(f"10 %\r20 %\r{LINE}\r\n", id="after a progress bar"),
        pytest.param(f"{LINE}   \t\n", id="blanks at the end"),
        pytest.param(f"\x1b[32m{LINE}\x1b[0m\n", id="ANSI colours around it"),
        pytest.param(
            f"Job has been \x1b[1msubmitted\x1b[22m with JobID \x1b[38:5:9m{ID}\x1b(B\x1b[m\n",
            id="ANSI inside",
        ),
        pytest.param(f"\x1b]0;a title\x07{LINE}\n", id="terminal title, BEL"),
        pytest.param(f"\x1b]8;;http://flink\x1b\\{LINE}\x1b]8;;\x1b\\\n", id="terminal link, ST"),
        pytest.param(f"2025-11-01T12:00:00Z {LINE}\n", id="RFC 3339 prefix"),
        pytest.param(f"2025-11-01T12:00:00.123456789Z {LINE}\n", id="RFC 3339 prefix, nanoseconds"),
        pytest.param(f"2025-11-01T20:00:00.1+08:00 {LINE}\n", id="RFC 3339 prefix, offset"),
        pytest.param(f"2025-11-01T12:00:00.123456789Z stdout F {LINE}\n", id="CRI prefix"),
        pytest.param(f"2025-11-01T12:00:00Z \x1b[32m{LINE}\x1b[0m\r\n", id="prefix, ANSI and CRLF"),
        pytest.param(f"\x1b[2m2025-11-01T12:00:00Z\x1b[0m {LINE}\n", id="coloured prefix"),
        pytest.param(f"\ufffd\ufffd\x00\n{LINE}\n\ufffd", id="bytes that were not UTF-8"),
        pytest.param(f"{LINE}\nJob Runtime: 3 ms\n{LINE}\n", id="printed twice"),
        pytest.param(f"作业已提交\n{LINE}\n完成\n", id="Chinese around it"),
    ],
)
def test_the_whole_line_counts_whatever_surrounds_it(text: str) -> None:
    assert submitter_log.job_ids(text) == (ID,)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(f"Job has been submitted with JobID {ID[:31]}\n", id="31 digits"),
        pytest.param(f"Job has been submitted with JobID {ID}0\n", id="33 digits"),
        pytest.param(
            f"Job has been submitted with JobID {ID.upper()}\n", id="upper case: Flink prints lower"
        ),
        pytest.param(f"Job has been submitted with JobID {ID[:31]}g\n", id="no hex digit"),
        pytest.param(f"job has been submitted with JobID {ID}\n", id="other case"),
        pytest.param(f"Job has been submitted with JobID  {ID}\n", id="two blanks"),
        pytest.param(f" {LINE}\n", id="indented"),
        pytest.param(f"last night: {LINE}\n", id="in mid-line"),
        pytest.param(f"{LINE} (quoted by the script)\n", id="with text behind"),
        pytest.param(f'"{LINE}"\n', id="quoted"),
        pytest.param(f"Submitting job 'x' ({ID}).\n", id="before acceptance"),
        pytest.param(f"Caused by: org.apache.flink.X: Job failed (JobID: {ID})\n", id="in a stack trace"),
        pytest.param(f"Job with JobID {ID} has finished.\n", id="the end of a job"),
        pytest.param(f"Job has been submitted with JobID\n{ID}\n", id="on two lines"),
        pytest.param(f"echoed by the script:\u2028{LINE}\n", id="behind a separator that ends no line"),
        pytest.param(f"echoed by the script:\x0c{LINE}\n", id="behind a form feed"),
        pytest.param(f"2025-11-01 12:00:00 INFO {LINE}\n", id="a logger's line"),
        pytest.param(
            "Job has been submitted with JobID " + "\u0661" * 32 + "\n", id="digits of another script"
        ),
    ],
)
def test_nothing_but_the_whole_line_counts(text: str) -> None:
    assert submitter_log.job_ids(text) == ()


def test_several_ids_keep_their_order_and_lose_their_repeats() -> None:
    text = "\n".join(f"Job has been submitted with JobID {id_}" for id_ in (OTHER, ID, OTHER, "0" * 32, ID))
    assert submitter_log.job_ids(text) == (OTHER, ID, "0" * 32)


@given(st.lists(st.one_of(st.text(st.characters(exclude_characters="\r\n")), st.just(LINE)), max_size=8))
def test_an_id_is_found_when_and_only_when_a_line_is_the_clis(lines: list[str]) -> None:
    assert submitter_log.job_ids("\n".join(lines)) == ((ID,) if LINE in lines else ())


MEBIBYTE = 1024 * 1024
NOISE = [
    pytest.param("x", id="one line"),
    pytest.param("\x1b[0;", id="escape codes that never end"),
    pytest.param("\x1b]", id="only openings of escape codes"),
    pytest.param("a.", id="a name of dots"),
    pytest.param("Error", id="a name of errors"),
    pytest.param("java.util.concurrent.CompletionException: ", id="wrapped without end"),
    pytest.param("Caused by: a.b.XException: y\n", id="causes without end"),
    pytest.param("Traceback (most recent call last):\n", id="tracebacks without end"),
    pytest.param(" ", id="blanks"),
    pytest.param(f"{LINE[:-1]}\n", id="almost the CLI's line"),
    pytest.param("noise 0001\r\n", id="short lines"),
    pytest.param("{", id="JSON that never ends"),
    pytest.param('{"message":', id="JSON too deep"),
    pytest.param("12:00:00 [a] ", id="a prefix without end"),
    pytest.param("ERROR [a][", id="brackets after a level"),
    pytest.param("ERROR a:1 [x]\n", id="prefixes without a separator"),
    pytest.param("  | x\n", id="a tree without a root"),
]


@pytest.mark.parametrize("read", [submitter_log.job_ids, submitter_log.error_lines])
@pytest.mark.parametrize("unit", NOISE)
def test_logs_are_read_in_linear_time(unit: str, read: Callable[[str], object]) -> None:
    """Sixteen times the text takes about sixteen times as long; quadratic work takes 256 times."""

    def seconds(length: int) -> float:
        """Of the processor, the best of three: whatever disturbs a reading only adds to it."""
        text = unit * (length // len(unit))

        def once() -> float:
            began = time.process_time()
            read(text)
            return time.process_time() - began

        return min(once() for _ in range(3))

    assert seconds(MEBIBYTE) < 80 * max(seconds(MEBIBYTE // 16), 0.002)


def test_an_id_behind_ten_mebibytes_of_noise_is_found() -> None:
    noise = "".join(f"noise {number:032x}\n" for number in range(10 * MEBIBYTE // 39))
    assert submitter_log.job_ids(f"{noise}{LINE}\n{noise[:1000]}") == (ID,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("raise_before_submit.attached", "ValueError: raised before the submission"),
        ("submit_then_raise.detached", "ValueError: raised after the submission"),
        ("syntax_error.attached", "SyntaxError: invalid syntax"),
        ("fail_runtime_sql_wait.attached", "java.lang.ArithmeticException: / by zero"),
        ("ds_fail_udf.attached", "ValueError: bad value in map function: 3"),
        (
            "ds_finish--unreachable.attached",
            (
                "org.apache.flink.shaded.netty4.io.netty.channel.AbstractChannel$AnnotatedConnectException: "
                "Connection refused: localhost/127.0.0.1:1"
            ),
        ),
        (
            "ds_finish--no-taskmanager.attached",
            (
                "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: "
                "Could not acquire the minimum required resources."
            ),
        ),
        (
            "sql_forever_wait--cancelled.attached",
            "org.apache.flink.runtime.client.JobCancellationException: Job was cancelled.",
        ),
    ],
)
def test_the_error_lines_of_a_failed_submission_are_its_root_cause(
    version: str, recording: str, expected: str
) -> None:
    assert submitter_log.error_lines(cli_log(version, recording)) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "1.20",
            (
                "org.apache.flink.runtime.client.DuplicateJobSubmissionException: "
                "Job has already been submitted."
            ),
        ),
        (
            "2.3",
            (
                "org.apache.flink.runtime.client.DuplicateApplicationSubmissionException: "
                "Application has already been submitted."
            ),
        ),
    ],
)
def test_a_refusal_that_the_server_explains_is_given_in_the_servers_words(
    version: str, expected: str
) -> None:
    for recording in ("ds_finish--fixed-job-id-2nd", "sql_insert_forever--fixed-job-id-after-end"):
        error_lines = submitter_log.error_lines(cli_log(version, f"{recording}.attached"))
        assert error_lines.splitlines()[0] == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_a_script_that_is_not_there_is_named(version: str) -> None:
    error_lines = submitter_log.error_lines(cli_log(version, "no_such_script.attached"))
    assert error_lines.startswith("java.nio.file.NoSuchFileException: ")
    assert error_lines.endswith("/no_such_script.py")


def test_without_an_exception_the_last_lines_are_given() -> None:
    text = "".join(f"line {number}\n\n" for number in range(9)) + "\tat some.java.Frame(Frame.java:1)\n"
    assert submitter_log.error_lines(text) == "line 4\nline 5\nline 6\nline 7\nline 8"


def test_error_lines_of_pyflinks_wrapper_begin_with_the_java_cause() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "job.py", line 1, in <module>\n'
        "pyflink.util.exceptions.TableException: Failed to execute sql\n"
        "\tat org.apache.flink.X.y(X.java:1)\n"
        "Caused by: java.io.IOException: disk full\n"
        "\t... 14 more\n"
    )
    assert submitter_log.error_lines(text) == (
        "java.io.IOException: disk full\npyflink.util.exceptions.TableException: Failed to execute sql"
    )


def test_a_cause_that_only_repeats_the_one_above_it_is_passed_over() -> None:
    lines = [
        "a.B: outer",
        "Caused by: x.ConnectException: refused: host:1",
        "Caused by: x.Exception: refused",
    ]
    assert submitter_log.error_lines("\n".join(lines)) == "x.ConnectException: refused: host:1"


@pytest.mark.parametrize(
    ("above", "cause", "expected"),
    [
        pytest.param(
            "org.apache.flink.streaming.runtime.tasks.StreamTaskException: Cannot load user class: x.Y",
            "java.lang.ClassNotFoundException: x.Y",
            "java.lang.ClassNotFoundException: x.Y",
            id="the message repeats, the type does not",
        ),
        pytest.param(
            "org.apache.flink.util.FlinkException: No heartbeat of the TaskManager",
            "java.util.concurrent.TimeoutException",
            "org.apache.flink.util.FlinkException: No heartbeat of the TaskManager",
            id="a type without a message comes second",
        ),
    ],
)
def test_the_cause_keeps_the_type_of_a_cause_whose_message_repeats(
    above: str, cause: str, expected: str
) -> None:
    found = submitter_log.error_lines(f"{above}\n\tat a.B.c(B.java:1)\nCaused by: {cause}")
    assert found.splitlines()[0] == expected
    assert set(found.splitlines()) == {above, cause}


def test_the_cause_is_that_of_the_last_stack_trace() -> None:
    lines = [
        "java.lang.IllegalStateException: cannot open the cache",
        "\tat a.B.c(B.java:1)",
        "Caused by: java.io.IOException: no such file",
        "\tat a.B.c(B.java:2)",
        "org.apache.flink.util.FlinkException: cannot plan the job",
        "\tat a.B.c(B.java:3)",
    ]
    assert (
        submitter_log.error_lines("\n".join(lines))
        == "org.apache.flink.util.FlinkException: cannot plan the job"
    )


LAYOUTS = [path for version in VERSIONS for path in sorted((FOLDER / version / "cli" / "layouts").iterdir())]
NO_FACTORY = (
    "org.apache.flink.table.api.ValidationException: Could not find any factory for identifier 'kafka' that "
    "implements 'org.apache.flink.table.factories.DynamicTableFactory' in the classpath."
)
FIRST_LINES = {
    "argparse_error": "argparse_error.py: error: the following arguments are required: --day",
    "bad_conf--interval": (
        "java.lang.IllegalArgumentException: "
        "Could not parse value '10parsecs' for key 'execution.checkpointing.interval'."
    ),
    "bad_conf--parallelism": (
        "java.lang.IllegalArgumentException: Could not parse value 'two' for key 'parallelism.default'."
    ),
    "key_error": "KeyError: 'day'",
    "missing_class": (
        "TypeError: Could not found the Java class "
        "'org.apache.flink.connector.kafka.source.KafkaSource.builder'. The Java dependencies could be "
        "specified via command line argument '--jarfile' or the config option 'pipeline.jars'"
    ),
    "missing_connector": NO_FACTORY,
    "missing_jar": (
        "Could not get job jar and dependencies from JAR file: JAR file does not exist: /nowhere/a.jar"
    ),
    "missing_module": (
        "/opt/flink/venv/bin/python: Error while finding module specification for 'etl.daily' "
        "(ModuleNotFoundError: No module named 'etl')"
    ),
    "refused": (
        "org.apache.flink.runtime.client.DuplicateApplicationSubmissionException: "
        "Application has already been submitted."
    ),
    "syntax_error": "SyntaxError: invalid syntax",
    "unreachable": (
        "org.apache.flink.shaded.netty4.io.netty.channel.AbstractChannel$AnnotatedConnectException: "
        "Connection refused: localhost/127.0.0.1:1"
    ),
}
"""The first error line of each way to fail, whatever the layout of the log."""


@pytest.mark.parametrize("recording", LAYOUTS, ids=lambda path: f"{path.parts[-4]} {path.stem}")
def test_error_lines_of_a_recorded_failure_begin_with_the_cause_in_every_layout(recording: Path) -> None:
    shown = submitter_log.error_lines(recording.read_text("utf-8"))
    assert shown.splitlines()[0] == FIRST_LINES[recording.name.partition(".")[0]]


@pytest.mark.parametrize("layout", ["shipped", "console", "json"])
def test_error_lines_of_a_missing_connector_list_those_that_exist_once(layout: str) -> None:
    shown = submitter_log.error_lines(
        (FOLDER / f"1.20/cli/layouts/missing_connector.{layout}.log").read_text("utf-8")
    )
    factories = ["blackhole", "datagen", "filesystem", "print", "python-input-format"]
    assert shown.splitlines() == [NO_FACTORY, "Available factory identifiers are:", *factories]


PYTHON_ENDED = (
    "org.apache.flink.client.program.ProgramAbortException: "
    "java.lang.RuntimeException: Python process exits with code: 1\n"
    "\tat org.apache.flink.client.python.PythonDriver.main(PythonDriver.java:136)\n"
    "Caused by: java.lang.RuntimeException: Python process exits with code: 1\n"
    "\t... 14 more\n"
)
"""What the client prints after a script has failed."""


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\n"
            "day\n"
            "  Field required [type=missing, input_value={}, input_type=dict]\n"
            "    For further information visit https://errors.pydantic.dev/2.10/v/missing\n",
            id="pydantic",
        ),
        pytest.param("ValueError: the table is wrong:\n- column is missing\n- key is missing\n", id="list"),
        pytest.param(
            "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
            "\tstatus = StatusCode.UNAVAILABLE\n"
            '\tdetails = "failed to connect to all addresses"\n'
            ">\n",
            id="gRPC",
        ),
    ],
)
def test_error_lines_keep_a_message_of_several_lines(message: str) -> None:
    text = f'Traceback (most recent call last):\n  File "/opt/a.py", line 3, in <module>\n{message}'
    assert submitter_log.error_lines(text + PYTHON_ENDED) == message.rstrip("\n")


def test_error_lines_cut_a_long_message_at_its_stated_number_of_lines() -> None:
    message = "".join(f"- column {number}\n" for number in range(99))
    error_lines = submitter_log.error_lines(
        f"Traceback (most recent call last):\nValueError: wrong:\n{message}"
    )
    assert len(error_lines.splitlines()) == 1 + submitter_log.MAX_DETAIL_LINES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "Traceback (most recent call last):\n"
            "2026-11-01 12:00:00,123 WARN  org.apache.x.Y [] - the metrics are off: port 9249\n"
            '  File "/opt/a.py", line 3, in <module>\n'
            "12 of 40 tables are read\n"
            "done\n"
            "KeyError: 'day'\n",
            "KeyError: 'day'",
            id="another stream's lines within a traceback",
        ),
        pytest.param(
            "Usage: etl.py [OPTIONS]\nTry 'etl.py --help' for help.\n\nError: Missing option '--day'.\n",
            "Error: Missing option '--day'.",
            id="click",
        ),
        pytest.param(
            "usage: etl.py load [-h] day\netl.py load: error: unrecognized arguments: --x\n",
            "etl.py load: error: unrecognized arguments: --x",
            id="argparse with a subcommand",
        ),
        pytest.param(
            "/opt/venv/bin/python: No module named etl\n",
            "/opt/venv/bin/python: No module named etl",
            id="no such module",
        ),
        pytest.param(
            '  File "/opt/a.py", line 3\n    x\nIndentationError: unexpected indent\n',
            "IndentationError: unexpected indent",
            id="no traceback",
        ),
        pytest.param(
            "Traceback (most recent call last):\nstruct.error: unpack requires 4 bytes\n",
            "struct.error: unpack requires 4 bytes",
            id="an error in lower case",
        ),
        pytest.param("reading\nno day given\n", "reading\nno day given", id="sys.exit with a message"),
        pytest.param(
            "Traceback (most recent call last):\n"
            '  File "/opt/a.py", line 3, in <module>\n'
            "asyncio.exceptions.CancelledError\n",
            "asyncio.exceptions.CancelledError",
            id="an error without a message",
        ),
    ],
)
def test_error_lines_before_the_clients_own_trace_name_why_python_ended(text: str, expected: str) -> None:
    assert submitter_log.error_lines(text + PYTHON_ENDED) == expected


def test_error_lines_without_an_error_omit_what_the_client_logged_before_the_script() -> None:
    """The client logs the environment, which may hold a password."""
    prefix = "2026-11-01 12:00:00,123 INFO  org.apache.flink.client.python.X [] - "
    text = (
        f"{prefix}Loading configuration property: rest.port, 8081\n"
        f"{prefix}Starting Python process with environment variables: {{PASSWORD=x}}, command: python a.py\n"
        f"{prefix}no day given\n"
        "no day given\n"
    )
    assert submitter_log.error_lines(text + PYTHON_ENDED) == "no day given"


def test_lines_without_a_stack_trace_hold_no_cause_but_themselves() -> None:
    text = "all is well\n1.2.3 is a version"
    assert submitter_log.error_lines(text) == text


def test_error_lines_are_cut_to_their_stated_length() -> None:
    error_lines = submitter_log.error_lines(f"Caused by: java.io.IOException: {'x' * 5000}\n")
    assert len(error_lines) == submitter_log.MAX_ERROR_CHARACTERS == 1500


def test_error_lines_of_nothing_are_nothing() -> None:
    assert submitter_log.error_lines("\n  \n") == ""


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        pytest.param("one\ntwo\n", 100, "one\ntwo\n", id="short"),
        pytest.param("one\ntwo\n", 8, "one\ntwo\n", id="exactly"),
        pytest.param("one\ntwo\n", 7, "two\n", id="a line too long"),
        pytest.param("one\ntwo\n", 4, "two\n", id="a whole line fits exactly"),
        pytest.param("onetwo", 3, "two", id="one long line"),
        pytest.param("onetwo\n", 4, "two\n", id="one long line with its end"),
        pytest.param("äöü", 3, "ü", id="a character that is cut goes"),
        pytest.param("", 3, "", id="nothing"),
    ],
)
def test_the_end_of_a_log(text: str, limit: int, expected: str) -> None:
    assert submitter_log.tail(text, limit) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"unable to retrieve container logs for containerd://0123", True, id="kubelet"),
        pytest.param(b"unable to retrieve container logs for containerd://0123\n", True, id="kubelet, LF"),
        pytest.param(
            b'failed to try resolving symlinks in path "/var/log/pods/x": no such file', True, id="rotated"
        ),
        pytest.param(f"{LINE}\n".encode(), False, id="a log"),
        pytest.param(b"", False, id="empty"),
        pytest.param(b"the script: unable to retrieve container logs for x", False, id="not at the start"),
        pytest.param(
            f"unable to retrieve container logs for x\n{LINE}\n".encode(), False, id="a log that quotes it"
        ),
    ],
)
def test_the_kubelets_excuse_is_no_log(raw: bytes, *, expected: bool) -> None:
    assert submitter_log.is_unreadable(raw) is expected


# --- the termination message ------------------------------------------------------------------------

OTHER_LINE = f"Job has been submitted with JobID {OTHER}"
WHOLE = f"flinkjobs/1\n{LINE}\n{OTHER_LINE}\nend 2\n"

MESSAGES = {
    "whole": (WHOLE, ((ID, OTHER), True)),
    "no id": ("flinkjobs/1\nend 0\n", ((), True)),
    "the same id twice": (f"flinkjobs/1\n{LINE}\n{LINE}\nend 2\n", ((ID,), True)),
    "carriage returns": (f"flinkjobs/1\n{LINE}\r\n{OTHER_LINE}\r\r\nend 2\n", ((ID, OTHER), True)),
    "without the last line end": (WHOLE.rstrip("\n"), ((ID, OTHER), True)),
    "cut at the end, before the count": (WHOLE.removesuffix(" 2\n"), ((ID, OTHER), False)),
    "cut at the end, between lines": (f"flinkjobs/1\n{LINE}\n", ((ID,), False)),
    "cut at the end, within an id": (f"flinkjobs/1\n{LINE}\n{OTHER_LINE[:-1]}", ((ID,), False)),
    "cut behind the mark": ("flinkjobs/1", ((), False)),
    "cut within the mark": ("flinkjobs/", None),
    "cut in the middle, a whole line": (f"flinkjobs/1\n{LINE}\nend 2\n", ((ID,), False)),
    "cut in the middle, within lines": (
        f"flinkjobs/1\n{LINE[:-10]}{OTHER_LINE[-10:]}9\n{LINE}\nend 3\n",
        ((ID,), False),
    ),
    "a line of another kind within": (f"flinkjobs/1\n{LINE}\n...\nend 1\n", ((ID,), False)),
    "more than the end": (f"flinkjobs/1\n{LINE}\nend 1\n[truncated]", ((ID,), False)),
    "cut at the front, within the mark": (WHOLE[3:], None),
    "cut at the front, before an id": (f"{LINE}\nend 1\n", None),
    "another version": (f"flinkjobs/12\n{LINE}\nend 1\n", None),
    "of an older submitter": (f"{LINE}\n{OTHER_LINE}\n", None),
    "the end of a log": (f"Traceback\nflinkjobs/1\n{LINE}\nend 1\n", None),
    "of the kubelet: lost": ("The container could not be located when the pod was terminated", None),
    "of the kubelet: unreadable": (
        "Error on reading termination message from logs: failed to try resolving symlinks in path",
        None,
    ),
    "empty": ("", None),
}


@pytest.mark.parametrize(("text", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_marked_message_reads_ids_and_whether_the_message_is_whole(
    text: str, expected: tuple[tuple[str, ...], bool] | None
) -> None:
    """Ours only with the mark in front, whole only with the count of its lines at the end."""
    found = submitter_log.marked_message(text)
    assert (found and (found.ids, found.is_whole)) == expected
