"""A container's output: the bytes as they came, and when each line began.

Both are kept in memory while they are small and in an unnamed temporary file beyond that, so that a log of
any size costs little memory and leaves nothing behind, however the double ends.
"""

import asyncio
import struct
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CHUNK_BYTES = 64 * 1024
IN_MEMORY_BYTES = 256 * 1024
_LINE = struct.Struct("<qq")  # nanoseconds since 1970, offset of the line's first byte


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What part of a log is asked for, as the API's query parameters say."""

    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_ns: int | None = None
    """Only lines that began at this time (nanoseconds since 1970) or later."""
    timestamps: bool = False
    follow: bool = False


class ContainerLog:
    """The output of one run of one container."""

    def __init__(self, directory: Path | None) -> None:
        """Args: where large logs are put on disk; the system's temporary directory when None."""
        where = str(directory) if directory else None
        self._data = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=where)  # noqa: SIM115 see close()
        self._lines = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=where)  # noqa: SIM115 as above
        self._size = 0
        self._line_count = 0
        self._at_line_start = True
        self._ended = False
        self._grown = asyncio.Event()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def append(self, data: bytes, *, at_ns: int | None = None) -> None:
        """Add output that has just come (or came at that time)."""
        if not data:
            return
        moment = time.time_ns() if at_ns is None else at_ns
        starts = [self._size] if self._at_line_start else []
        position = data.find(b"\n")
        while 0 <= position < len(data) - 1:
            starts.append(self._size + position + 1)
            position = data.find(b"\n", position + 1)
        self._lines.seek(self._line_count * _LINE.size)
        self._lines.write(b"".join(_LINE.pack(moment, start) for start in starts))
        self._line_count += len(starts)
        self._data.seek(self._size)
        self._data.write(data)
        self._size += len(data)
        self._at_line_start = data.endswith(b"\n")
        self._announce()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._announce()

    def close(self) -> None:
        """Free what the log occupies; it reads as empty from now on."""
        self._size = self._line_count = 0
        self.end()
        self._data.close()
        self._lines.close()

    def tail(self, *, lines: int, limit_bytes: int) -> bytes:
        """The last lines, and of them at most `limit_bytes` from the end."""
        start = self._offset(max(0, self._line_count - lines))
        start = max(start, self._size - limit_bytes)
        return self._read(start, self._size)

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """The part asked for, in pieces; with `follow`, until the container has ended."""
        line = self._first_line(options)
        position = self._offset(line)
        left = options.limit_bytes
        while True:
            while position < self._size:
                if options.timestamps:
                    piece, position, line = self._stamped(position, line)
                else:
                    piece = self._read(position, min(self._size, position + CHUNK_BYTES))
                    position += len(piece)
                if left is not None:
                    piece = piece[:left]
                    left -= len(piece)
                if piece:
                    yield piece
                if left == 0:
                    return
            if not options.follow or self._ended:
                return
            await self._grown.wait()

    def _first_line(self, options: LogOptions) -> int:
        first = 0
        if options.since_ns is not None:
            low, high = 0, self._line_count
            while low < high:
                middle = (low + high) // 2
                if self._line(middle)[0] < options.since_ns:
                    low = middle + 1
                else:
                    high = middle
            first = low
        if options.tail_lines is not None:
            first = max(first, self._line_count - options.tail_lines)
        return first

    def _stamped(self, position: int, line: int) -> tuple[bytes, int, int]:
        """About a chunk of output with the time before each line; the new position and next line."""
        pieces: list[bytes] = []
        size = 0
        for moment, start, end in self._spans(position, line):
            if start == position:
                pieces.append(rfc3339_nano(moment).encode() + b" ")
                line += 1
            stop = min(end, position + CHUNK_BYTES)
            pieces.append(self._read(position, stop))
            size += stop - position
            position = stop
            if size >= CHUNK_BYTES:
                break
        return b"".join(pieces), position, line

    def _spans(self, position: int, line: int) -> Iterator[tuple[int, int, int]]:
        """Time, start and end of each line from the one that holds the position."""
        current = line if line < self._line_count and self._offset(line) == position else line - 1
        while current < self._line_count:
            moment, start = self._line(current)
            end = self._offset(current + 1)
            yield moment, start, end
            current += 1

    def _line(self, number: int) -> tuple[int, int]:
        self._lines.seek(number * _LINE.size)
        moment, offset = _LINE.unpack(self._lines.read(_LINE.size))
        return moment, offset

    def _offset(self, number: int) -> int:
        return self._line(number)[1] if number < self._line_count else self._size

    def _read(self, start: int, end: int) -> bytes:
        if start >= end:
            return b""
        self._data.seek(start)
        return self._data.read(end - start)

    def _announce(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def rfc3339_nano(moment_ns: int) -> str:
    """The kubelet's format of a line's time: nine digits after the point, always."""
    seconds, nanoseconds = divmod(moment_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class LogBook:
    """The logs of every container run, by pod uid and container."""

    def __init__(self, directory: Path | None) -> None:
        """Args: where large logs are put."""
        self._directory = directory
        self._runs: dict[str, dict[str, list[ContainerLog]]] = {}

    def open(self, uid: str, container: str) -> ContainerLog:
        """The log of a new run. Of earlier runs only the last is kept, as a kubelet does."""
        log = ContainerLog(self._directory)
        runs = self._runs.setdefault(uid, {}).setdefault(container, [])
        runs.append(log)
        while len(runs) > 2:  # noqa: PLR2004 the present run and the previous one
            runs.pop(0).close()
        return log

    def get(self, uid: str, container: str, *, previous: bool = False) -> ContainerLog | None:
        """The present run's log, or the previous run's."""
        runs = self._runs.get(uid, {}).get(container, [])
        place = -2 if previous else -1
        return runs[place] if len(runs) >= -place else None

    def drop(self, uid: str) -> None:
        """The pod is gone, and its logs with it."""
        for runs in self._runs.pop(uid, {}).values():
            for log in runs:
                log.close()
