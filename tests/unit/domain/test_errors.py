"""The errors that cross a module's border."""

import re
from collections.abc import Iterator

import pytest

from flinkjobs.domain import errors
from flinkjobs.domain.errors import FlinkjobsError, InFlightError, PermanentError, TemporaryError
from flinkjobs.domain.text import cut


def everything_below(kind: type[FlinkjobsError]) -> Iterator[type[FlinkjobsError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from everything_below(child)


KINDS = sorted(everything_below(FlinkjobsError), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_temporary_or_permanent_and_never_both(kind: type[FlinkjobsError]) -> None:
    assert issubclass(kind, TemporaryError) is not issubclass(kind, PermanentError)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_an_http_status_and_a_code_in_capitals(kind: type[FlinkjobsError]) -> None:
    assert 400 <= kind.http_status <= 599
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", kind.code)


def test_a_temporary_error_is_a_503() -> None:
    temporary = [kind for kind in KINDS if issubclass(kind, TemporaryError)]
    assert len(temporary) > 4
    statuses = {kind: kind.http_status for kind in temporary}
    assert statuses.pop(InFlightError) == 409, "the idempotency key's draft asks for a conflict"
    assert set(statuses.values()) == {503}


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("", 5, ""),
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("作业已提交了", 5, "作业已提…"),
        ("ab", 1, "…"),
    ],
)
def test_foreign_text_is_cut_to_a_stated_length(text: str, limit: int, expected: str) -> None:
    assert cut(text, limit) == expected
    assert len(cut(text, limit)) <= limit


def test_the_default_length_is_500_characters() -> None:
    assert len(cut("x" * 501)) == 500
    assert cut("x" * 500) == "x" * 500
