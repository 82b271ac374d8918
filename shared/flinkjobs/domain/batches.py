"""Sequences in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def growing_chunks(items: Sequence[T], first: int, most: int) -> Iterator[Sequence[T]]:
    """Yields chunks, each twice as long as the one before, so that the first ones finish early."""
    start, size = 0, first
    while start < len(items):
        yield items[start : start + size]
        start, size = start + size, min(2 * size, most)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Batches of this size, the last one shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """As `chunks`, of items that come one by one."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
