"""Writes the table of `docs/reference/metrics.md`: `python -m tests.integration.docs.metrics_page`.

It scrapes the example of `GET /api/metrics` in `docs/reference/openapi.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from flinkjobs.jobs.prometheus import exposition

REFERENCE: Final = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGE: Final = REFERENCE / "metrics.md"
TABLE: Final = re.compile(r"(<!-- metrics: .*? -->\n).*?(<!-- end of metrics -->)", re.DOTALL)


def render(page: str) -> str:
    """The page with its table as it should be."""
    rendered, count = TABLE.subn(lambda found: found[1] + "\n".join(rows()) + "\n" + found[2], page)
    if count != 1:
        raise ValueError(f"{count} tables of metrics instead of one")
    return rendered


def rows() -> Iterator[str]:
    """A row per metric."""
    document = yaml.safe_load((REFERENCE / "openapi.yaml").read_text(encoding="utf-8"))
    answer = document["paths"]["/jobs/api/metrics"]["get"]["responses"]["200"]["content"]["application/json"]
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in text_string_to_metric_families(exposition(answer["example"]).decode()):
        labels = sorted({f"`{name}`" for sample in family.samples for name in sample.labels})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"| `{name}` | {family.type} | {', '.join(labels)} | {family.documentation} |"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
