"""What the wiring does to the process it runs in."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from flinkjobs.bootstrap import _undisturbed


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """The other tests of this process are as they were."""
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_built_stays_and_is_never_looked_through_again() -> None:
    before = gc.get_freeze_count()
    with _undisturbed():
        assert not gc.isenabled()
        with _undisturbed():  # one part builds another
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_what_could_not_be_built_is_garbage() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ZeroDivisionError), _undisturbed():
        raise ZeroDivisionError
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_whoever_has_switched_collection_off_finds_it_off() -> None:
    gc.disable()
    with _undisturbed():
        pass
    assert not gc.isenabled()
