"""A Terraform module as data: parsed, not evaluated. Expressions stay text in `${…}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import hcl2
import yaml

ROOT = Path(__file__).parent.parent.parent
MODULE = ROOT / "terraform"
KUBERNETES = ROOT / "deploy" / "kubernetes"

Block: TypeAlias = dict[str, Any]

_OPTIONS = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)


def parse(path: Path) -> Block:
    """One file's blocks, by their type."""
    return hcl2.loads(path.read_text(), serialization_options=_OPTIONS)


@dataclass(frozen=True, slots=True)
class Module:
    """All files of one directory.

    Attributes:
        variables, outputs: their arguments, by name, in the order of the file.
        locals: their expressions, by name.
        resources, data: their arguments, by `type.name`.
        settings: the `terraform` block.
    """

    variables: dict[str, Block]
    outputs: dict[str, Block]
    locals: dict[str, Any]
    resources: dict[str, Block]
    data: dict[str, Block]
    settings: Block

    def of_type(self, kind: str) -> dict[str, Block]:
        """The resources of one type, by name."""
        return {
            address.partition(".")[2]: block
            for address, block in self.resources.items()
            if address.partition(".")[0] == kind
        }


def read_module(directory: Path = MODULE) -> Module:
    """Every `.tf` of a directory, as Terraform reads it: without those below."""
    variables: dict[str, Block] = {}
    outputs: dict[str, Block] = {}
    values: dict[str, Any] = {}
    resources: dict[str, Block] = {}
    data: dict[str, Block] = {}
    settings: Block = {}
    for path in sorted(directory.glob("*.tf")):
        blocks = parse(path)
        for of_locals in blocks.get("locals", []):
            values |= of_locals
        for kind, found in (("variable", variables), ("output", outputs)):
            for block in blocks.get(kind, []):
                found.update(block)
        for kind, found in (("resource", resources), ("data", data)):
            for block in blocks.get(kind, []):
                [(type_name, named)] = block.items()
                [(name, arguments)] = named.items()
                found[f"{type_name}.{name}"] = arguments
        for block in blocks.get("terraform", []):
            settings |= block
    return Module(variables, outputs, values, resources, data, settings)


def one(blocks: Block, *path: str) -> Any:
    """What stands at the end of a path of nested blocks, each of which occurs once."""
    value: Any = blocks
    for name in path:
        value = value[name]
        if isinstance(value, list):
            [value] = value
    return value


def dynamic(blocks: Block, name: str) -> Block:
    """The one `dynamic` block that makes blocks of this name."""
    [found] = [block[name] for block in blocks["dynamic"] if name in block]
    made: Block = found
    return made


def strings(value: Any) -> Iterator[str]:
    """Every text in a nest of blocks."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def patterns(condition: str) -> list[re.Pattern[str]]:
    """The regular expressions of a condition, in order."""
    found = re.findall(r'regex\(("(?:[^"\\]|\\.)*")', condition)
    return [re.compile(json.loads(literal)) for literal in found]


def kubernetes_documents() -> list[Block]:
    """What kubernetes.tf reads."""
    return [
        document
        for name in ("namespace.yaml", "rbac.yaml", "networkpolicy.yaml")
        for document in yaml.safe_load_all((KUBERNETES / name).read_text())
        if document
    ]


def inputs_table(module: Module) -> list[str]:
    """The rows of the README's table of variables."""
    return [
        f"| `{name}` | {_type(variable)} | {_default(variable)} | {variable['description']} |"
        for name, variable in module.variables.items()
    ]


def outputs_table(module: Module) -> list[str]:
    """The rows of the README's table of outputs."""
    return [f"| `{name}` | {output['description']} |" for name, output in module.outputs.items()]


def _type(variable: Block) -> str:
    written = str(variable["type"]).removeprefix("${").removesuffix("}")
    return "map(object)" if written.startswith("map(object(") else written


def _default(variable: Block) -> str:
    if "default" not in variable:
        return "required"
    return f"`{json.dumps(variable['default'])}`"
