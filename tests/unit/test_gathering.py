"""Concurrent reads go together, and each caller gets what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from searchmesh.cache.gathering import GatheredReads


class Store:
    def __init__(self) -> None:
        self.reads: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.errors: list[Exception] = []

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads.append(list(keys))
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return [None if key == b"missing" else key.upper() for key in keys]


async def test_an_idle_store_is_asked_at_once_and_a_busy_one_for_all_that_gathered() -> None:
    store = Store()
    reads = GatheredReads(store.read)
    first = asyncio.create_task(reads.get([b"a"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.reads == [[b"a"]]
    later = [asyncio.create_task(reads.get(keys)) for keys in ([b"b", b"missing"], [b"c"])]
    await asyncio.sleep(0)
    store.gate.set()
    assert await first == [b"A"]
    assert await asyncio.gather(*later) == [[b"B", None], [b"C"]]
    assert store.reads == [[b"a"], [b"b", b"missing", b"c"]]
    assert await reads.get([b"d"]) == [b"D"]


async def test_a_failure_is_told_to_those_who_read_together_and_not_to_the_next() -> None:
    store = Store()
    store.errors = [TimeoutError("slow")]
    reads = GatheredReads(store.read)
    failing = asyncio.create_task(reads.get([b"a"]))
    await asyncio.sleep(0)
    following = asyncio.create_task(reads.get([b"b"]))
    await asyncio.sleep(0)
    store.gate.set()
    with pytest.raises(TimeoutError, match="slow"):
        await failing
    assert await following == [b"B"]


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    store = Store()
    reads = GatheredReads(store.read)
    leaving = asyncio.create_task(reads.get([b"a"]))
    await asyncio.sleep(0)
    staying = asyncio.create_task(reads.get([b"b"]))
    await asyncio.sleep(0)
    leaving.cancel()
    store.gate.set()
    assert await staying == [b"B"]
