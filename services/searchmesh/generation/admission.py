"""How many texts are written at the same time, and how many wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, Overloaded

_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 0.5, 30.0

_WEIGHT = 0.2
"""Of the latest text in the average time that one takes."""


class Admission:
    """Slots, given to who waited longest."""

    def __init__(self, model: str, slots: int, waiting: int) -> None:
        self._model = model
        self.slots = slots
        self._most_waiting = waiting
        self._free = asyncio.Semaphore(slots)
        self._seconds = 1.0
        self.waiting = 0
        self.in_flight = 0

    @asynccontextmanager
    async def slot(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold a slot for the block. Raises Overloaded if too many wait, DeadlineExceeded if none gets free in time."""
        if self._free.locked() and self.waiting >= self._most_waiting:
            raise Overloaded(
                f"{self.in_flight} texts are being written with {self._model} and {self.waiting} wait, the limit",
                retry_after_s=self._expected_s(),
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await self._free.acquire()
        except TimeoutError:
            raise DeadlineExceeded(f"no slot of {self._model} got free before the deadline") from None
        finally:
            self.waiting -= 1
        self.in_flight += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds += _WEIGHT * (time.monotonic() - start - self._seconds)
            self.in_flight -= 1
            self._free.release()

    def _expected_s(self) -> float:
        """Until those who wait have their slots."""
        expected = self._seconds * (self.waiting + 1) / self.slots
        return min(max(expected, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
