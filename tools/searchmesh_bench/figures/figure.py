"""What a figure is: two sides measured in one run, what they give together, and what is asked of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A bound that a result must keep."""

    bound: float
    at_least: bool

    def met_by(self, result: float) -> bool:
        return result >= self.bound if self.at_least else result <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    return Target(bound, at_least=False)


@dataclass(frozen=True)
class Comparison:
    """One row of a figure."""

    what: str
    measured: float
    reference: float
    result: float
    """Ratio or difference of the two, or a statistic over those of several rounds."""
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        return None if self.target is None else self.target.met_by(self.result)


@dataclass(frozen=True)
class Figure:
    """A table of comparisons with its units and conditions."""

    name: str
    title: str
    measured: str
    """What the first column of numbers holds, with its unit."""
    reference: str
    result: str
    comparisons: Sequence[Comparison]
    conditions: Sequence[str]
    """How it was measured, in sentences."""

    @property
    def met(self) -> bool:
        """Whether every target is."""
        return all(comparison.met is not False for comparison in self.comparisons)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "met": self.met,
            "columns": {"measured": self.measured, "reference": self.reference, "result": self.result},
            "rows": [
                {
                    "what": row.what,
                    "measured": row.measured,
                    "reference": row.reference,
                    "result": row.result,
                    "target": None if row.target is None else str(row.target),
                    "met": row.met,
                }
                for row in self.comparisons
            ],
            "conditions": list(self.conditions),
        }
