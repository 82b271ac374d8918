"""A container's log: which bytes are answered for which options."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.kubernetes.container_log import ContainerLog, LogOptions, rfc3339_nano
from doubles.kubernetes.container_run import fill, read_message
from doubles.kubernetes.errors import ApiError
from doubles.kubernetes.log_endpoint import choose_container, log_options

AMBIGUOUS = "a container name must be specified for pod p, choose one of: [a b]"
SECOND = 1_000_000_000
LINES = [b"one\n", b"two \xff\xfe\n", b"three\n", b"four"]
STAMPS = [b"1970-01-01T00:00:0%d.000000000Z " % number for number in (1, 2, 3, 4)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ContainerLog]:
    made = ContainerLog(tmp_path)
    for number, line in enumerate(LINES, start=1):
        made.append(line, at_ns=number * SECOND)
    made.end()
    yield made
    made.close()


def read(log: ContainerLog, options: LogOptions) -> bytes:
    async def collect() -> bytes:
        return b"".join([piece async for piece in log.read(options)])

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(), b"".join(LINES)),
        (LogOptions(tail_lines=2), b"three\nfour"),
        (LogOptions(tail_lines=0), b""),
        (LogOptions(tail_lines=99), b"".join(LINES)),
        (LogOptions(limit_bytes=6), b"one\ntw"),
        (LogOptions(tail_lines=2, limit_bytes=3), b"thr"),
        (LogOptions(since_ns=3 * SECOND), b"three\nfour"),
        (LogOptions(since_ns=9 * SECOND), b""),
        (LogOptions(since_ns=2 * SECOND, tail_lines=1), b"four"),
        (LogOptions(timestamps=True, tail_lines=1), STAMPS[3] + b"four"),
        (LogOptions(timestamps=True), b"".join(map(bytes.__add__, STAMPS, LINES))),
        (LogOptions(timestamps=True, limit_bytes=33), STAMPS[0] + b"on"),
    ],
)
def test_what_is_read(log: ContainerLog, options: LogOptions, expected: bytes) -> None:
    assert read(log, options) == expected


def test_lines_in_one_piece_share_its_time_and_pieces_of_a_line_have_one(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path)
    log.append(b"a\nb", at_ns=SECOND)
    log.append(b"b\nc\n", at_ns=2 * SECOND)
    assert (
        read(log, LogOptions(timestamps=True))
        == STAMPS[0] + b"a\n" + STAMPS[0] + b"bb\n" + STAMPS[1] + b"c\n"
    )
    log.close()


def test_a_large_log_goes_to_disk_and_comes_back_whole(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path)
    line = bytes(range(11, 256)) + b"\n"
    piece = line * 400
    for _ in range(120):
        log.append(piece)
    assert log.size == 11_808_000
    whole = read(log, LogOptions())
    assert whole == piece * 120
    stamped = read(log, LogOptions(timestamps=True, tail_lines=10_000))
    assert re.sub(rb"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", b"", stamped) == line * 10_000
    assert log.tail(lines=80, limit_bytes=2048) == (line * 80)[-2048:]
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    log.close()


def test_following_ends_with_the_container(tmp_path: Path) -> None:
    async def follow() -> list[bytes]:
        log = ContainerLog(tmp_path)
        log.append(b"first\n")
        reading = log.read(LogOptions(follow=True))
        pieces = [await anext(reading)]
        asyncio.get_running_loop().call_soon(log.append, b"second\n")
        asyncio.get_running_loop().call_soon(log.end)
        pieces += [piece async for piece in reading]
        log.close()
        return pieces

    assert asyncio.run(follow()) == [b"first\n", b"second\n"]


@pytest.mark.parametrize(
    ("tail", "expected"),
    [((1, 100), b"four"), ((2, 7), b"ee\nfour"), ((0, 100), b""), ((80, 2048), b"".join(LINES))],
)
def test_the_tail_of_a_failed_container(log: ContainerLog, tail: tuple[int, int], expected: bytes) -> None:
    assert log.tail(lines=tail[0], limit_bytes=tail[1]) == expected


def test_times_have_nine_digits() -> None:
    assert rfc3339_nano(1_772_366_400_000_000_050) == "2026-03-01T12:00:00.000000050Z"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({}, LogOptions()),
        (
            {"tailLines": "5", "limitBytes": "10", "timestamps": "true", "follow": "1"},
            LogOptions(5, 10, None, True, True),
        ),
        ({"sinceTime": "1970-01-01T00:00:02Z"}, LogOptions(since_ns=2 * SECOND)),
    ],
)
def test_options_are_read_from_the_query(query: dict[str, str], options: LogOptions) -> None:
    assert log_options(query) == options


@pytest.mark.parametrize(
    ("query", "code", "part"),
    [
        ({"tailLines": "-1"}, 422, "tailLines: Invalid value: -1"),
        ({"limitBytes": "0"}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, 422, "sinceSeconds"),
        ({"sinceSeconds": "1", "sinceTime": "1970-01-01T00:00:02Z"}, 422, "at most one of"),
        ({"tailLines": "many"}, 400, "invalid syntax"),
        ({"sinceTime": "yesterday"}, 400, "cannot parse"),
    ],
)
def test_wrong_options_are_refused(query: dict[str, str], code: int, part: str) -> None:
    with pytest.raises(ApiError) as caught:
        log_options(query)
    assert caught.value.code == code
    assert part in caught.value.message


def pod(main: list[str], init: list[str]) -> dict[str, object]:
    return {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{"name": name} for name in main],
            "initContainers": [{"name": name} for name in init],
        },
    }


@pytest.mark.parametrize(
    ("main", "init", "wanted", "chosen"),
    [(["a"], [], "", "a"), (["a"], ["i"], "", "a"), (["a", "b"], [], "b", "b"), (["a"], ["i"], "i", "i")],
)
def test_the_container_is_chosen(main: list[str], init: list[str], wanted: str, chosen: str) -> None:
    assert choose_container(pod(main, init), wanted) == chosen


@pytest.mark.parametrize(
    ("init", "wanted", "message"),
    [
        ([], "", AMBIGUOUS),
        (
            ["i"],
            "",
            f"{AMBIGUOUS} or one of the init containers: [i]",
        ),
        ([], "x", "container x is not valid for pod p"),
    ],
)
def test_an_ambiguous_container_is_400(init: list[str], wanted: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        choose_container(pod(["a", "b"], init), wanted)
    assert (caught.value.code, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ""),
        (b"id\n", "id\n"),
        (b"x" * 5000 + b"end", "x" * 4093 + "end"),
        (b"a\xffb", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_a_termination_message_keeps_its_end(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "message"
    path.write_bytes(content)
    assert read_message(path) == message


def test_placeholders() -> None:
    assert fill("{name}-{index} {hex} {other}", "abc", 7) == "abc-7 900150983cd24fb0d6963f7d28e17f72 {other}"
