"""Writes the description of each function by itself, out of `docs/reference/openapi.yaml`.

    python -m deploy.openapi            writes docs/reference/openapi/FUNCTION.yaml
    python -m deploy.openapi --check    fails when a file differs

The paths have no prefix: the server of each description is a variable, the address of the function.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

REFERENCE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
FUNCTIONS: Final = ("submit", "sync", "cleanup", "jobs")
PREFACE: Final = "# Written by `python -m deploy.openapi` out of openapi.yaml: change that file instead.\n"
_REFERENCE: Final = re.compile(r"#/components/(\w+)/(\w+)")

_Object = dict[str, Any]


def of_function(whole: _Object, function: str) -> _Object:
    """The description of one function: its paths, and what these refer to."""
    prefix = f"/{function}"
    paths = {
        path.removeprefix(prefix) or "/": item
        for path, item in whole["paths"].items()
        if path == prefix or path.startswith(f"{prefix}/")
    }
    described = copy.deepcopy({**whole, "paths": paths})
    described["info"]["title"] = f"flinkjobs {function}"
    described["servers"][0]["variables"]["address"]["description"] = f"where {function} is deployed"
    described["components"] = {"securitySchemes": whole["components"]["securitySchemes"]}
    while missing := sorted(_referred(described) - _present(described)):
        for kind, name in missing:
            described["components"].setdefault(kind, {})[name] = copy.deepcopy(
                whole["components"][kind][name]
            )
    used = {tag for item in paths.values() for operation in item.values() for tag in operation["tags"]}
    described["tags"] = [tag for tag in whole["tags"] if tag["name"] in used]
    return described


def _referred(document: _Object) -> set[tuple[str, str]]:
    return set(_REFERENCE.findall(str(document)))


def _present(document: _Object) -> set[tuple[str, str]]:
    return {(kind, name) for kind, each in document["components"].items() for name in each}


class _Plain(yaml.SafeDumper):
    """Without anchors, so that every reader of YAML reads it alike."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def rendered(function: str) -> str:
    """The file of a function."""
    whole: _Object = yaml.safe_load((REFERENCE / "openapi.yaml").read_text(encoding="utf-8"))
    text = yaml.dump(
        of_function(whole, function), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110
    )
    return PREFACE + text


def main() -> int:
    """Writes or checks the files; 1 when one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    different = []
    for function in FUNCTIONS:
        file = REFERENCE / "openapi" / f"{function}.yaml"
        if not file.exists() or file.read_text(encoding="utf-8") != rendered(function):
            different.append(file.name)
            if not is_check:
                file.parent.mkdir(exist_ok=True)
                file.write_text(rendered(function), encoding="utf-8")
    if is_check and different:
        print(
            f"{', '.join(different)} differ from openapi.yaml: run python -m deploy.openapi", file=sys.stderr
        )
    return int(is_check and bool(different))


if __name__ == "__main__":
    sys.exit(main())
