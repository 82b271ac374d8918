"""A bound of the benchmark and its measured value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One bound and the value that was measured.

    Attributes:
        at_most: false where the value must be at least the bound.
    """

    name: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def holds(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    @property
    def sign(self) -> Literal["≤", "≥"]:
        """How the bound reads."""
        return "≤" if self.at_most else "≥"

    def as_json(self) -> dict[str, object]:
        """As in `results.json`."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "bound": f"{self.sign} {self.bound:g}",
            "holds": self.holds,
        }
