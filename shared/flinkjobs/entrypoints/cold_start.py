"""Imports that a cold start can afford: nothing is looked through meanwhile, what nobody uses stays out."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Self


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without garbage collection: what importing a library makes stays, and to look through it takes time.

    Python would look several times, through more each time: a tenth of a cold start.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()  # nor is it looked through later
    finally:
        gc.enable()


@contextmanager
def spared(
    *, later: Collection[str] = (), absent: Collection[str] = (), hollow: Collection[str] = ()
) -> Iterator[None]:
    """Spares this thread modules that a library imports at once, and that are not used.

    Only what nobody has imported yet is spared. The modules can be imported afterwards.

    Args:
        later: read when somebody first asks anything of them, so that `import` is all that may be done with
            them: https://docs.python.org/3/library/importlib.html#importlib.util.LazyLoader
        absent: optional ones; to this thread they are not installed.
        hollow: ones that the library insists on, and takes names from. It gets, and keeps, classes that
            nothing is an instance of, and that raise `NotImplementedError` when they are called. Meanwhile
            another thread gets them too: what anybody else uses must have been imported before.
    """
    finder = _Finder(later, absent, hollow)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in finder.hollowed.items():
            _forget(name, module)


def _forget(name: str, module: ModuleType) -> None:
    """As if the module had not been imported: its package knows it, too."""
    if sys.modules.get(name) is module:
        del sys.modules[name]
    package, _, attribute = name.rpartition(".")
    if package in sys.modules and vars(sys.modules[package]).get(attribute) is module:
        delattr(sys.modules[package], attribute)


class _Finder:
    """Finds modules in their spared form, for the thread that made it."""

    def __init__(self, later: Collection[str], absent: Collection[str], hollow: Collection[str]) -> None:
        self._later, self._absent, self._hollow = later, absent, hollow
        self._thread = threading.get_ident()
        self.hollowed: dict[str, ModuleType] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if threading.get_ident() != self._thread:
            return None
        if fullname in self._absent:
            raise ModuleNotFoundError(f"{fullname} is spared", name=fullname)
        if fullname in self._hollow:
            return ModuleSpec(fullname, _Hollow(self.hollowed))
        if fullname not in self._later:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


class _Hollow(Loader):
    """Makes a module in which every name is found, and none can be called."""

    def __init__(self, made: dict[str, ModuleType]) -> None:
        self._made = made

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python makes modules."""

    def exec_module(self, module: ModuleType) -> None:
        def named(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (_Spared,), {"__module__": module.__name__})

        module.__dict__["__getattr__"] = named
        self._made[module.__name__] = module


class _Spared:
    """What stands for any class or function of a hollow module, in annotations too."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        raise NotImplementedError(f"{cls.__module__}.{cls.__name__} is spared, and was called")

    def __class_getitem__(cls, _item: object) -> type:
        return cls
