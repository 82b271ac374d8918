"""Text of peers and users, cut to a stated length."""

from __future__ import annotations

MAX_FOREIGN_TEXT = 500
"""Characters kept of a message that another system wrote."""


def cut(text: str, limit: int = MAX_FOREIGN_TEXT) -> str:
    """Returns `text` with at most `limit` characters, marking the cut with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Returns a number of things for people: `0 jobs`, `1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
