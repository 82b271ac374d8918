"""What sparing imports does to the process it runs in."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flinkjobs.entrypoints.cold_start import spared, undisturbed


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """The other tests of this process are as they were."""
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_built_stays_and_is_never_looked_through_again() -> None:
    before = gc.get_freeze_count()
    with undisturbed():
        assert not gc.isenabled()
        with undisturbed():  # one part builds another
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_what_could_not_be_built_is_garbage() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ZeroDivisionError), undisturbed():
        raise ZeroDivisionError
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_whoever_has_switched_collection_off_finds_it_off() -> None:
    gc.disable()
    with undisturbed():
        pass
    assert not gc.isenabled()


# --- spared modules ---------------------------------------------------------------------------------

PACKAGE = """
from . import later
try:
    import flinkjobs_test_optional
except ImportError:
    is_optional_there = False
else:
    is_optional_there = True
from flinkjobs_test_needed import Session, name
"""
NEEDED = """
name = "needed"
def Session():
    return "a session"
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Imports `flinkjobs_test_package` anew, which imports one part of its own and two other modules."""
    package = tmp_path / "flinkjobs_test_package"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "later.py").write_text("import flinkjobs_test_far\nvalue = 3\n")
    (tmp_path / "flinkjobs_test_far.py").write_text("")
    (tmp_path / "flinkjobs_test_optional.py").write_text("value = 4\n")
    (tmp_path / "flinkjobs_test_needed.py").write_text(NEEDED)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda: importlib.import_module("flinkjobs_test_package")
    for name in [name for name in sys.modules if name.startswith("flinkjobs_test_")]:
        del sys.modules[name]


def _import_spared(library: Callable[[], Any]) -> Any:
    with spared(
        later=["flinkjobs_test_package.later"],
        absent=["flinkjobs_test_optional"],
        hollow=["flinkjobs_test_needed"],
    ):
        return library()


def test_a_module_put_off_is_read_when_something_is_asked_of_it(library: Callable[[], Any]) -> None:
    package = _import_spared(library)
    assert "flinkjobs_test_far" not in sys.modules
    assert package.later.value == 3
    assert "flinkjobs_test_far" in sys.modules


def test_an_absent_module_is_not_installed_to_the_library_and_to_nobody_else(
    library: Callable[[], Any],
) -> None:
    package = _import_spared(library)
    assert package.is_optional_there is False
    assert importlib.import_module("flinkjobs_test_optional").value == 4


def test_a_name_of_a_hollow_module_says_so_when_it_is_called(library: Callable[[], Any]) -> None:
    package = _import_spared(library)
    with pytest.raises(
        NotImplementedError, match=r"^flinkjobs_test_needed\.Session is spared, and was called$"
    ):
        package.Session()
    assert importlib.import_module("flinkjobs_test_needed").Session() == "a session"


def test_a_package_does_not_keep_its_hollow_module(library: Callable[[], Any]) -> None:
    with spared(hollow=["flinkjobs_test_package.later"]):
        package = library()
        assert package.later.value is not package.later.value
    with pytest.raises(AttributeError):
        _ = package.later
    assert importlib.import_module("flinkjobs_test_package.later").value == 3
    assert package.later.value == 3


def test_a_name_of_a_hollow_module_is_a_class_of_which_nothing_is_an_instance(
    library: Callable[[], Any],
) -> None:
    spared_class = _import_spared(library).Session
    assert not isinstance("a session", spared_class)
    assert spared_class[int] is spared_class


def test_what_was_imported_before_is_not_spared(library: Callable[[], Any]) -> None:
    importlib.import_module("flinkjobs_test_optional")
    needed = importlib.import_module("flinkjobs_test_needed")
    package = _import_spared(library)
    assert package.is_optional_there is True
    assert package.Session is needed.Session
    assert sys.modules["flinkjobs_test_needed"] is needed


def test_another_thread_imports_as_ever(library: Callable[[], Any]) -> None:
    found: list[Any] = []
    with spared(absent=["flinkjobs_test_optional"], hollow=["flinkjobs_test_needed"]):
        thread = threading.Thread(target=lambda: found.append(library()))
        thread.start()
        thread.join()
    assert found[0].is_optional_there is True
    assert found[0].name == "needed"


def test_nothing_is_spared_afterwards_even_of_an_import_that_failed(library: Callable[[], Any]) -> None:
    finders = list(sys.meta_path)
    with pytest.raises(ZeroDivisionError), spared(absent=["flinkjobs_test_optional"]):
        raise ZeroDivisionError
    assert sys.meta_path == finders
    assert library().is_optional_there is True
