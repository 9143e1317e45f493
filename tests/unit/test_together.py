"""Coroutines at once: order, and what becomes of the others when one fails."""

from __future__ import annotations

import asyncio

import pytest

from searchmesh.runtime.together import together


async def test_results_are_in_order_of_the_coroutines() -> None:
    async def after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    assert await together(after(seconds) for seconds in (0.02, 0.0, 0.01)) == [0.02, 0.0, 0.01]
    assert await together([]) == []


async def test_the_others_have_ended_when_a_failure_is_raised() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await together([wait(), fail(), wait()])
    assert ended == [True, True]


async def test_a_cancelled_caller_takes_all_with_it() -> None:
    started: list[asyncio.Task[None] | None] = []

    async def wait() -> None:
        started.append(asyncio.current_task())
        await asyncio.sleep(60)

    task = asyncio.create_task(together([wait(), wait()]))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(started) == 2
    assert all(one is not None and one.cancelled() for one in started)
