"""Writes the texts of the codes, and the messages of notifications, to the files that repeat them.

    python -m deploy.reasons            writes the files
    python -m deploy.reasons --check    fails when a file differs

| file | part | source |
|---|---|---|
| `docs/reference/codes.md` | the table of reason codes | `flinkjobs.domain.reasons` |
| `web/ui/messages.*.json` | the keys `reason.CODE.*` | the same |
| `web/ui/details_parts.js` | the constant `NEVER_RAN` | the same |
| `docs/reference/openapi.yaml` | the codes that the filter `reason` takes | the same |
| `docs/how-to/operations.md` | the table of doctor's codes | `flinkjobs.doctor.codes` |
| `docs/how-to/be-notified*.md` | the examples of messages | `deploy.notifications` |
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.notifications import with_examples
from flinkjobs.doctor.codes import CODES, Code
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.job_query import WITHOUT_REASON
from flinkjobs.domain.reasons import REASONS, ReasonInfo, Text
from flinkjobs.settings.notify import Language

ROOT: Final = Path(__file__).resolve().parent.parent
UI: Final = "shared/flinkjobs/web/ui"


def with_codes(page: str) -> str:
    """`docs/reference/codes.md` with the table of reason codes."""
    rows = [
        f"| `{code}` | {', '.join(info.statuses)} | {info.en.meaning} | {info.en.remedy} |"
        for code, info in REASONS.items()
    ]
    return _with_rows(page, "| code | status | what happened | what to do |", rows)


def with_findings(page: str) -> str:
    """`docs/how-to/operations.md` with the table of doctor's codes."""
    rows = [f"| `{code}` | {CODES[code].found} | {CODES[code].remedy} |" for code in Code]
    return _with_rows(page, "| code | what was found | what to do |", rows)


def with_messages(messages: str, text_of: Callable[[ReasonInfo], Text]) -> str:
    """A `messages.*.json` with the keys of the reasons, in the place where they are.

    Args:
        messages: the content of the file.
        text_of: the text of a row in the language of the file.
    """
    first = f"reason.{WITHOUT_REASON}.title"
    new: dict[str, str] = {}
    for key, message in json.loads(messages).items():
        if key == first:
            new |= {key: message, **_reason_messages(text_of)}
        elif not key.startswith("reason."):
            new[key] = message
    return json.dumps(new, indent=2, ensure_ascii=False) + "\n"


def with_never_ran(script: str) -> str:
    """`details_parts.js` with the codes of FAILED records of which Flink certainly had no job."""
    codes = [
        code.value
        for code, info in REASONS.items()
        if Status.FAILED in info.statuses and info.accepted is False
    ]
    return _replaced(script, r"^const NEVER_RAN = .*$", f"const NEVER_RAN = new Set({json.dumps(codes)});")


def with_filter(described: str) -> str:
    """`openapi.yaml` with the codes that the list can be filtered by."""
    words = "|".join((WITHOUT_REASON, *REASONS))
    pattern = rf'(?<=pattern: "\^\(\|\({WITHOUT_REASON}\|)[^"]*'
    return _replaced(described, pattern, f"{words.partition('|')[2]})(,({words}))*)$")


def _reason_messages(text_of: Callable[[ReasonInfo], Text]) -> dict[str, str]:
    """By key; without backticks, because the page shows plain text."""
    return {
        f"reason.{code}.{part}": words.replace("`", "")
        for code, info in REASONS.items()
        for text in [text_of(info)]
        for part, words in (("title", text.title), ("means", text.meaning), ("do", text.remedy))
    }


def _with_rows(page: str, header: str, rows: Sequence[str]) -> str:
    rule = "|---" * (header.count("|") - 1) + "|"
    pattern = rf"^{re.escape(header)}\n{re.escape(rule)}\n(?:\|.*\n)+"
    return _replaced(page, pattern, "\n".join([header, rule, *rows, ""]))


def _replaced(text: str, pattern: str, new: str) -> str:
    replaced, count = re.subn(pattern, lambda _: new, text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{count} places match {pattern!r} instead of one")
    return replaced


FILES: Final[Mapping[str, Callable[[str], str]]] = {
    "docs/reference/codes.md": with_codes,
    "docs/reference/openapi.yaml": with_filter,
    "docs/how-to/operations.md": with_findings,
    "docs/how-to/be-notified.md": lambda text: with_examples(text, Language.EN),
    "docs/how-to/be-notified.zh-CN.md": lambda text: with_examples(text, Language.ZH),
    f"{UI}/messages.en.json": lambda text: with_messages(text, lambda info: info.en),
    f"{UI}/messages.zh.json": lambda text: with_messages(text, lambda info: info.zh),
    f"{UI}/details_parts.js": with_never_ran,
}
"""What each file becomes, given what it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m deploy.reasons", description="The texts of reasons.")
    parser.add_argument("--check", action="store_true", help="fail when a file differs; write nothing")
    check = parser.parse_args(arguments).check
    differing = []
    for name, written in FILES.items():
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = written(before)
        if after == before:
            continue
        differing.append(name)
        if not check:
            path.write_text(after, encoding="utf-8")
    for name in differing:
        print(f"{name}: {'differs; run: make reasons' if check else 'written'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
