"""The two lanes, and the rows that wait in one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from typing import Generic, Protocol, TypeVar


class Lane(Enum):
    """Interactive rows (somebody waits for a search) go before bulk rows (indexing)."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class Waiting(Protocol):
    """What a lane needs to know of a row."""

    @property
    def group(self) -> Hashable:
        """Rows of one group may share a batch."""

    @property
    def padded_tokens(self) -> int:
        """What the row costs."""

    @property
    def arrived(self) -> float:
        """Monotonic time, seconds."""


W = TypeVar("W", bound=Waiting)


class LaneQueue(Generic[W]):
    """First come, first served: the oldest row decides which group goes next, its group fills the batch."""

    def __init__(self) -> None:
        self.tokens = 0
        """Padded tokens of all rows that wait."""
        self._groups: dict[Hashable, deque[W]] = {}

    def add(self, row: W) -> None:
        """Append a row to its group."""
        self._groups.setdefault(row.group, deque()).append(row)
        self.tokens += row.padded_tokens

    def oldest(self) -> W | None:
        """The row that has waited longest."""
        return min((rows[0] for rows in self._groups.values()), key=lambda row: row.arrived, default=None)

    def keep(self, group: Hashable, alive: Callable[[W], bool]) -> int:
        """Drop the rows of a group that are not alive any more; how many are left."""
        rows = self._groups[group]
        kept = deque(row for row in rows if alive(row))
        self.tokens -= sum(row.padded_tokens for row in rows) - sum(row.padded_tokens for row in kept)
        if kept:
            self._groups[group] = kept
        else:
            del self._groups[group]
        return len(kept)

    def pop(self, group: Hashable, count: int) -> list[W]:
        """Remove and return the first `count` rows of a group."""
        rows = self._groups[group]
        taken = [rows.popleft() for _ in range(count)]
        if not rows:
            del self._groups[group]
        self.tokens -= sum(row.padded_tokens for row in taken)
        return taken
