"""Sequences in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def _growing_chunks(items: Sequence[T], first: int, most: int) -> Iterator[Sequence[T]]:
    """Each twice as long as the one before: the first ones are through however long the others take."""
    start, size = 0, first
    while start < len(items):
        yield items[start : start + size]
        start, size = start + size, min(2 * size, most)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
