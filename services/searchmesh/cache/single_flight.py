"""One computation for equal inputs that are asked for at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from searchmesh.runtime.errors import Cancelled, DeadlineExceeded, InvalidArgument, Overloaded, SearchmeshError

V = TypeVar("V")

_LEADERS_OWN = (Cancelled, DeadlineExceeded, InvalidArgument, Overloaded)
"""Failures that say something about the leader's call: also a bad input may be another one of the same call."""


class SingleFlight(Generic[V]):
    """Callers with a key that is being computed follow the one who leads instead of computing it again.

    A leader that goes away takes nobody with it: its followers compute for themselves.
    """

    def __init__(self) -> None:
        self._flights: dict[bytes, asyncio.Future[V | SearchmeshError]] = {}

    async def get(self, keys: Sequence[bytes], compute: Callable[[list[int]], Awaitable[Sequence[V]]]) -> list[V]:
        """A value per key. `compute` is given the positions that this call leads and returns their values in order.

        Raises what `compute` raises, and the leader's error if that is about the backend.
        """
        values: dict[int, V] = {}
        pending = list(range(len(keys)))
        while pending:
            lead: list[int] = []
            follow: list[tuple[int, asyncio.Future[V | SearchmeshError]]] = []
            for position in pending:
                flight = self._flights.get(keys[position])
                if flight is None:
                    self._flights[keys[position]] = asyncio.get_running_loop().create_future()
                    lead.append(position)
                else:
                    follow.append((position, flight))
            if lead:
                values.update(zip(lead, await self._lead(keys, lead, compute), strict=True))
            pending = []
            for position, flight in follow:
                outcome = await asyncio.shield(flight)
                if not isinstance(outcome, SearchmeshError):
                    values[position] = outcome
                elif isinstance(outcome, _LEADERS_OWN):
                    pending.append(position)
                else:
                    raise outcome
        return [values[position] for position in range(len(keys))]

    async def _lead(
        self, keys: Sequence[bytes], lead: list[int], compute: Callable[[list[int]], Awaitable[Sequence[V]]]
    ) -> Sequence[V]:
        outcomes: Sequence[V | SearchmeshError] = [Cancelled("the leading call went away")] * len(lead)
        try:
            outcomes = computed = await compute(lead)
        except SearchmeshError as error:
            outcomes = [error] * len(lead)
            raise
        finally:
            for position, outcome in zip(lead, outcomes, strict=True):
                self._flights.pop(keys[position]).set_result(outcome)
        return computed
