"""The bundles: a folder per function with `main.py`, what it imports of `flinkjobs`, and its requirements.

    python -m deploy.bundle [--output build]

What a function imports is read from its source, symbol by symbol: `bootstrap` builds every function out of
imports inside of its classes, and only those of the class that `main.py` names count. So a function carries
no code of another one. Two calls over the same source make the same bytes, names, modes and times, and print
the same hashes.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.lock import FUNCTIONS, ROOT

SHARED = ROOT / "shared"
PACKAGE = "flinkjobs"
MAIN = "main"
DATA = {"flinkjobs.web.server.ui": "flinkjobs/page"}
"""Folders of files that are no modules, and the module that reads them."""
TIME_OF_FILES = 315_532_800
"""1980-01-01, the first day that a zip archive can hold, in seconds since 1970."""
FILE_MODE, FOLDER_MODE = 0o644, 0o755


class BundleError(Exception):
    """A bundle cannot be made; one line that says why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One staged function.

    Attributes:
        name: the function.
        folder: where it lies.
        files: paths below the folder, sorted.
        size: of all files together, in bytes.
        sha256: over the path and the content of every file.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    size: int
    sha256: str


# --- what a function needs --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Import:
    """A name that an import binds: a whole module, or a symbol of one."""

    module: str
    symbol: str | None = None


@dataclass(slots=True)
class _Module:
    """One parsed file.

    Attributes:
        always: the statements that run when it is imported.
        symbols: functions and classes by name: they run when they are used.
        imports: what the names mean that its own statements import.
    """

    always: list[ast.AST] = field(default_factory=list)
    symbols: dict[str, ast.AST] = field(default_factory=dict)
    imports: dict[str, _Import] = field(default_factory=dict)


class Needs:
    """The modules that a file and its symbols come to import, directly or not, now or later."""

    def __init__(self, main: Path, search: Path = SHARED) -> None:
        """Args:
        main: the file to begin with, of which everything counts.
        search: the folder that holds the package.
        """
        self._search = search
        self._parsed: dict[str, _Module] = {}
        self._used: set[tuple[str, str]] = set()
        self._code: list[tuple[str, ast.AST]] = []  # that runs, and is to be followed
        self._load(MAIN, main)
        self._use_import(_Import(MAIN))
        while self._code:
            module, node = self._code.pop()
            self._follow(module, node)

    @property
    def modules(self) -> frozenset[str]:
        """Full names, packages included, without the file that was begun with."""
        return frozenset(self._parsed) - {MAIN}

    def file_of(self, module: str) -> Path | None:
        """The file of a module of the package; None for anything else."""
        if module.partition(".")[0] != PACKAGE:
            return None
        path = self._search.joinpath(*module.split("."))
        return next(
            (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None
        )

    def _need(self, module: str) -> None:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):  # importing a.b imports a
            name = ".".join(parts[:end])
            file = self.file_of(name)
            if file is not None and name not in self._parsed:
                self._load(name, file)

    def _load(self, name: str, file: Path) -> None:
        parsed = self._parsed[name] = _Module()
        for statement in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    parsed.symbols[statement.name] = statement
                    parsed.always += statement.decorator_list
                    parsed.always += statement.bases if isinstance(statement, ast.ClassDef) else []
                case _:
                    parsed.always.append(statement)
        for node in parsed.always:
            parsed.imports |= self._imports_of(node)
            self._code.append((name, node))

    def _use(self, module: str, symbol: str) -> None:
        """What happens when a symbol of a loaded module is used."""
        parsed = self._parsed.get(module)
        if parsed is None or (module, symbol) in self._used:
            return
        self._used.add((module, symbol))
        if symbol in parsed.symbols:
            self._code.append((module, parsed.symbols[symbol]))
        elif symbol in parsed.imports:
            self._use_import(parsed.imports[symbol])

    def _use_import(self, imported: _Import, attribute: str | None = None) -> None:
        symbol = imported.symbol or attribute
        if symbol is not None:
            self._use(imported.module, symbol)
        elif imported.module in self._parsed:  # the module itself is handed on: all of it may be used
            for each in tuple(self._parsed[imported.module].symbols):
                self._use(imported.module, each)

    def _follow(self, module: str, node: ast.AST) -> None:
        """Everything that a piece of code imports and names."""
        imports = self._parsed[module].imports | self._imports_of(node)
        attributes: set[ast.AST] = set()
        for each in _walk(node):
            match each:
                case ast.Attribute(value=ast.Name(id=name) as value, attr=attribute) if name in imports:
                    attributes.add(value)
                    self._use_import(imports[name], attribute)
                case ast.Name(id=name) if each not in attributes:
                    if name in imports:
                        self._use_import(imports[name])
                    else:
                        self._use(module, name)

    def _imports_of(self, node: ast.AST) -> dict[str, _Import]:
        """What the imports below a node bind; their modules are needed from now on."""
        found: dict[str, _Import] = {}
        for each in _walk(node):
            match each:
                case ast.Import(names=names):
                    for alias in names:
                        self._need(alias.name)
                        bound = alias.asname or alias.name.split(".")[0]
                        found[bound] = _Import(alias.name if alias.asname else bound)
                case ast.ImportFrom(module=str(source), names=names, level=0):
                    self._need(source)
                    for alias in names:
                        whole = f"{source}.{alias.name}"
                        is_module = self.file_of(whole) is not None
                        if is_module:
                            self._need(whole)
                        imported = _Import(whole) if is_module else _Import(source, alias.name)
                        found[alias.asname or alias.name] = imported
                case ast.ImportFrom():
                    raise BundleError(f"line {each.lineno}: a relative import cannot be followed")
        return found


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, parents first, without what is there for type checkers only."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=otherwise):
            for statement in otherwise:
                yield from _walk(statement)
        case _:
            yield node
            for child in ast.iter_child_nodes(node):
                yield from _walk(child)


def files_of(name: str) -> dict[str, Path]:
    """What belongs into a function's bundle: each path in it, and the file it is a copy of."""
    source = ROOT / "functions" / name
    files = {"main.py": source / "main.py", "requirements.txt": source / "requirements.txt"}
    needs = Needs(source / "main.py")
    for module in needs.modules:
        file = needs.file_of(module)
        assert file is not None  # noqa: S101 it was parsed
        files[file.relative_to(SHARED).as_posix()] = file
    for module, folder in DATA.items():
        if module in needs.modules:
            data = (file for file in (SHARED / folder).rglob("*") if file.is_file() and file.suffix != ".pyc")
            files |= {file.relative_to(SHARED).as_posix(): file for file in data}
    return dict(sorted(files.items()))


# --- staging ----------------------------------------------------------------------------------------


def stage(name: str, output: Path) -> Bundle:
    """Makes one function's folder anew.

    Raises:
        BundleError: something that is no bundle lies in its place.
    """
    folder = output / name
    if folder.exists() and not (folder / "main.py").is_file():
        raise BundleError(f"{folder} exists and is no bundle: move it away, or choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    size, digest = 0, hashlib.sha256()
    files = files_of(name)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=output) as scratch:
        new = Path(scratch) / name
        for path, source in files.items():
            content = source.read_bytes()
            size += len(content)
            digest.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
            copy = new / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        _settle(new)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    return Bundle(name, folder, tuple(files), size, digest.hexdigest())


def _settle(folder: Path) -> None:
    """Gives all files and folders the same modes and times on every machine."""
    for path in sorted([folder, *folder.rglob("*")], reverse=True):  # a folder after what is in it
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.utime(path, (TIME_OF_FILES, TIME_OF_FILES))


def main(arguments: Sequence[str] | None = None) -> int:
    """Stages every function and prints a line for each."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.bundle", description="Stage each function with exactly what it needs."
    )
    parser.add_argument("--output", type=Path, default=ROOT / "build", help="default: build")
    output = parser.parse_args(arguments).output
    try:
        bundles = [stage(name, output) for name in FUNCTIONS]
    except BundleError as error:
        print(f"deploy.bundle: {error}", file=sys.stderr)
        return 1
    for bundle in bundles:
        size = f"{bundle.size / 1024:.1f} KiB"
        print(f"{bundle.name:<8} {len(bundle.files):>3} files {size:>11}  sha256 {bundle.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
