"""Two sides measured in turns: what else the machine does then falls on both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

Ours = TypeVar("Ours")
Reference = TypeVar("Reference")


async def alternating(
    rounds: int, ours: Callable[[], Awaitable[Ours]], reference: Callable[[], Awaitable[Reference]]
) -> list[tuple[Ours, Reference]]:
    """The results of both sides, round by round. They take turns in going first."""
    results = []
    for number in range(rounds):
        if number % 2:
            theirs = await reference()
            results.append((await ours(), theirs))
        else:
            results.append((await ours(), await reference()))
    return results
