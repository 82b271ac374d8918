"""Writes docs/reference/api.md: `python -m tests.integration.docs.api_page`.

Its source is openapi.yaml, which describes the functions' HTTP interface.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
SOURCE: Final = DOCS / "reference" / "openapi.yaml"
PAGE: Final = DOCS / "reference" / "api.md"

PREFACE: Final = (
    "<!-- Written by `python -m tests.integration.docs.api_page` out of openapi.yaml: "
    "change that file instead. -->"
)
SHOWN_EXAMPLE_LINES: Final = 60

_Object = Mapping[str, Any]


def render(document: _Object) -> str:
    """The page, in Markdown, of an OpenAPI document."""
    return "\n".join(_lines(document)).rstrip() + "\n"


def _lines(document: _Object) -> Iterator[str]:
    info = document["info"]
    yield from (PREFACE, "", "# HTTP interface", "", info["summary"], "", info["description"].strip(), "")
    yield from ("Machine-readable: [`openapi.yaml`](openapi.yaml). Codes: [`codes.md`](codes.md).", "")
    yield from ("| request | |", "|---|---|")
    for method, path, operation in _operations(document):
        yield f"| `{method} {path}` | {operation['summary']} |"
    yield ""
    for method, path, operation in _operations(document):
        yield from _operation(document, f"{method} {path}", operation)
    yield from ("## Objects", "")
    for name, schema in document["components"]["schemas"].items():
        yield from (f"### {name}", "")
        yield from _schema(document, schema)


def _operations(document: _Object) -> Iterator[tuple[str, str, _Object]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "delete", "patch"):
                yield method.upper(), path, operation


def _operation(document: _Object, title: str, operation: _Object) -> Iterator[str]:
    yield from (f"## `{title}`", "", f"**{operation['summary']}**", "")
    if description := operation.get("description"):
        yield from (description.strip(), "")
    parameters = [_resolved(document, each) for each in operation.get("parameters", ())]
    if parameters:
        yield from ("| parameter | in | |", "|---|---|---|")
        for each in parameters:
            text = _cell(each.get("description", "") + _default(each.get("schema", {})))
            yield f"| `{each['name']}` | {each['in']} | {text} |"
        yield ""
    if body := operation.get("requestBody"):
        content = _resolved(document, body)["content"]
        for media_type, described in content.items():
            yield from (f"Body, `{media_type}`:", "")
            yield from _schema(document, described["schema"])
            yield from _examples(described)
    yield from ("| answer | |", "|---|---|")
    answers = [(status, _resolved(document, each)) for status, each in operation["responses"].items()]
    for status, answer in answers:
        yield f"| {status} | {_cell(answer['description'])}{_bodies(answer)} |"
    yield ""
    for status, answer in answers:
        if status.startswith("2"):
            for described in answer.get("content", {}).values():
                yield from _examples(described)


def _bodies(answer: _Object) -> str:
    names = {
        schema["$ref"].rsplit("/", 1)[-1]
        for described in answer.get("content", {}).values()
        if "$ref" in (schema := described.get("schema", {}))
    }
    return "".join(f" → [{name}](#{name.lower()})" for name in sorted(names))


def _examples(described: _Object) -> Iterator[str]:
    shown = [each["value"] for each in described.get("examples", {}).values() if "value" in each]
    shown += [described["example"]] if "example" in described else []
    for value in shown:
        if isinstance(value, str):
            lines, language = value.rstrip().splitlines(), "text"
        else:
            lines, language = json.dumps(value, ensure_ascii=False, indent=2).splitlines(), "json"
        if len(lines) <= SHOWN_EXAMPLE_LINES:
            yield from (f"```{language}", *lines, "```", "")


def _schema(document: _Object, schema: _Object) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        yield from (f"[{name}](#{name.lower()})", "")
        return
    if description := schema.get("description"):
        yield from (description.strip(), "")
    parts = [schema, *(_resolved(document, each) for each in schema.get("allOf", ()))]
    required = {name for part in parts for name in part.get("required", ())}
    fields = {name: field for part in parts for name, field in part.get("properties", {}).items()}
    if not fields:
        yield from (_type(schema), "")
        return
    yield from ("| field | type | |", "|---|---|---|")
    for name, field in fields.items():
        text = _cell(_resolved(document, field).get("description", "") + _default(field))
        must = " (required)" if name in required else ""
        yield f"| `{name}`{must} | {_type(field)} | {text} |"
    yield ""


def _type(schema: Any) -> str:
    if schema is True:
        return "any"
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return " or ".join(_type(each) for each in schema[word])
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = []
    for kind in kinds:
        if kind == "array":
            words.append(f"array of {_type(schema.get('items', True))}")
        elif kind == "string" and "format" in schema:
            words.append(f"string, {schema['format']}")
        else:
            words.append(kind)
    return " or ".join(words)


def _default(schema: _Object) -> str:
    return f" Default: `{json.dumps(schema['default'])}`." if "default" in schema else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _resolved(document: _Object, value: Any) -> Any:
    while isinstance(value, Mapping) and "$ref" in value:
        target: Any = document
        for word in value["$ref"].removeprefix("#/").split("/"):
            target = target[word]
        value = target
    return value if isinstance(value, Mapping) else {}


def main() -> int:
    """Writes the page."""
    PAGE.write_text(render(yaml.safe_load(SOURCE.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
